// The driver's private export tables (cuGetExportTable), as far as the CUDA runtime and cuBLAS need them. What is said
// of their contents was measured on driver 580.159.04 unless another source is named.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace vgpu::shim {

/// The tables that have a counter, in the order of their names in cuda_names() (common/cuda_names.hpp).
enum class TableId : unsigned {
  kCudartInterface,      ///< 6bd5fb6c
  kToolsCallbacks,       ///< a094798c
  kToolsThreadState,     ///< 42d85a81
  kContextLocalStorage,  ///< c693336e
  kContextChecks,        ///< 263e8860
  kIntegrityCheck,       ///< d4082055
  kToolsContext,         ///< 21318c60
  kCluster,              ///< 1734dc26
  kToolsModule,          ///< 6e163fbe
  kComputeCache,         ///< da9151d3, denied: NVRTC and nvJitLink then compile without their cache
  kNameless69a28e9f,     ///< 69a28e9f, denied: its purpose is unknown, clients go on without it
  kErrorLog,             ///< f8cff951, denied
  kUnknown,              ///< any other UUID
};

inline constexpr unsigned kTableCount = static_cast<unsigned>(TableId::kUnknown) + 1;

/// First eight hexadecimal digits of the table's UUID, or "unknown".
std::string_view table_name(TableId table) noexcept;

/// Position of "cuGetExportTable:NAME" in cuda_names().
unsigned table_name_index(TableId table) noexcept;

/// The table with that UUID, kUnknown when there is none here.
TableId find_table(const CUuuid& uuid) noexcept;

/// Runs the destructors of everything that libraries stored with a context (table c693336e), the newest first, and
/// forgets it. To be called once by whoever destroys or resets a context, or releases a primary context for the last
/// time, on the destroying thread, while the handle is still valid and before its resources go; no lock of the caller
/// may be held that the calls in this interface need, since destructors call back into the library. Must not throw.
void run_context_storage_destructors(CUcontext context);

/// Where the GPU's processors lie, as table 1734dc26 tells it: one entry for each pair of multiprocessors (66 on an
/// H100 with 132), `gpc` the first array that slot 4 gives (0 1 … 7 repeated, on that GPU), `slot` the second (0 0 … 1
/// 1 …). The shim's core implements it with what the host's driver said; false when the host told nothing. Any thread.
bool gpc_map(std::vector<std::uint8_t>& gpc, std::vector<std::uint8_t>& slot);

}  // namespace vgpu::shim
