#include <algorithm>

#include "common/cuda_names.hpp"
#include "common/cuda_names_data.hpp"

namespace vgpu {

using detail::kCudaNameTable;

std::span<const std::string_view> cuda_names() noexcept { return kCudaNameTable.names; }

std::size_t cuda_function_count() noexcept { return kCudaNameTable.function_count; }

std::optional<unsigned> cuda_name_index(std::string_view name) noexcept {
  const auto all = cuda_names();
  const auto functions = all.first(kCudaNameTable.function_count);
  auto found = std::lower_bound(functions.begin(), functions.end(), name);
  if (found == functions.end() || *found != name) {
    found = std::find(functions.end(), all.end(), name);
    if (found == all.end()) return std::nullopt;
  }
  return static_cast<unsigned>(found - all.begin());
}

std::uint64_t cuda_names_fingerprint() noexcept {
  std::uint64_t hash = 0xcbf29ce484222325U;
  const auto add = [&hash](unsigned char byte) { hash = (hash ^ byte) * 0x100000001b3U; };
  for (const auto name : cuda_names()) {
    for (const char letter : name) add(static_cast<unsigned char>(letter));
    add(0);
  }
  return hash;
}

}  // namespace vgpu
