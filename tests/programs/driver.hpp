#pragma once
#include <cuda.h>
#include <dlfcn.h>

#include "check.hpp"

/// Calls of the driver API for programs that link the runtime only: found by name in libcuda.so.1, as the runtime does.

inline void* driver_function(const char* name) {
  static void* const library = dlopen("libcuda.so.1", RTLD_NOW);
  if (!library) fail("libcuda.so.1 is not found: %s", dlerror());
  void* const function = dlsym(library, name);
  if (!function) fail("libcuda.so.1 has no %s", name);
  return function;
}

inline void expect_driver(CUresult got, CUresult wanted, const char* what, const char* file, int line) {
  if (got != wanted)
    fail("%s:%d: %s gave %d, not %d", file, line, what, static_cast<int>(got), static_cast<int>(wanted));
}

// cuda.h turns many names into those of their newest version by macros; the string must be made after that.
#define VGPU_NAME_(function) #function
#define VGPU_NAME(function) VGPU_NAME_(function)
#define CU(function) reinterpret_cast<decltype(&function)>(driver_function(VGPU_NAME(function)))
#define CU_EXPECT(wanted, function, ...) \
  expect_driver(CU(function)(__VA_ARGS__), wanted, VGPU_NAME(function), __FILE__, __LINE__)
#define CU_CHECK(function, ...) CU_EXPECT(CUDA_SUCCESS, function, __VA_ARGS__)
