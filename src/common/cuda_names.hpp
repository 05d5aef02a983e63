// The names by which calls that are not carried are counted: every function that a libcuda exports, and the driver's
// private export tables.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace vgpu {

/// More names than any supported toolkit gives: the fixed size of counter arrays in shared memory.
inline constexpr std::size_t kMaxCudaNames = 1024;

/// All names: first the exported functions of the toolkit that this was built with, in ASCII order ("cuArray3DCreate"
/// …, per-thread variants such as "cuMemcpy_ptds" too), then "cuGetExportTable:6bd5fb6c" and so on, one for each known
/// private table, and last "cuGetExportTable:unknown". At most kMaxCudaNames. The memory is static; any thread.
std::span<const std::string_view> cuda_names() noexcept;

/// How many of cuda_names() are exported functions (they come first).
std::size_t cuda_function_count() noexcept;

/// Position of a name in cuda_names(), or nothing when it is not there. Any thread.
std::optional<unsigned> cuda_name_index(std::string_view name) noexcept;

/// Hash (FNV-1a, 64 bits) over all names with their terminators. Positions mean the same in two programs only when this
/// is equal in both: they may have been built with different toolkits.
std::uint64_t cuda_names_fingerprint() noexcept;

}  // namespace vgpu
