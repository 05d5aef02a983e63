// A stand-in for the driver calls behind the private tables: two devices, and contexts that a test makes by hand.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "shim/tables/tables.hpp"

struct DriverDouble {
  CUresult ready = CUDA_SUCCESS;
  CUcontext current = nullptr;
  std::set<CUcontext> contexts;
  int devices = 2;
  bool has_gpc_map = true;
  std::map<CUmodule, std::vector<CUfunction>> functions;  ///< of each module
  std::vector<const void*> loaded;                        ///< images given to load_module
  std::vector<CUmodule> unloaded;                         ///< modules given to unload_module
  std::vector<std::pair<vgpu::shim::TableId, unsigned>> refused_slots;
  std::vector<vgpu::shim::TableId> refused_tables;
};

/// The one that the functions of driver.hpp use; a test sets it to a fresh one.
extern DriverDouble driver_double;

/// Handles as the stand-in makes them.
inline CUcontext context_handle(std::uintptr_t number) { return reinterpret_cast<CUcontext>(0x1000 * number); }
inline CUcontext primary_handle(CUdevice device) { return context_handle(0x100U + static_cast<unsigned>(device)); }

/// A table's words, as a client reads them.
inline const std::uintptr_t* words(const void* table) { return static_cast<const std::uintptr_t*>(table); }

/// The table with these first eight digits, or null with the result kept in `result`.
const void* get_table(const std::string& name, CUresult* result = nullptr);

/// A slot as a function.
template <class Function>
Function* slot(const void* table, unsigned index) {
  return reinterpret_cast<Function*>(words(table)[index]);
}
