// Table 1734dc26, 17 words. cuBLASLt asks slot 4 where the GPU's processors lie before it chooses cluster shapes, and
// gives the arrays back to slot 13.
#include <algorithm>
#include <cstdlib>
#include <exception>

#include "shim/tables/slot_table.hpp"

namespace vgpu::shim {
namespace {

constexpr auto kTable = TableId::kCluster;

// The client is not told how long the arrays are, it knows from the GPU. Zeroes up to here keep a client that counts
// otherwise (multiprocessors, not pairs of them) within the allocation.
constexpr std::size_t kLeastBytes = 1024;

std::uint8_t* copy(const std::vector<std::uint8_t>& bytes) {
  auto* const memory = static_cast<std::uint8_t*>(std::calloc(std::max(bytes.size(), kLeastBytes), 1));
  if (memory != nullptr) std::copy(bytes.begin(), bytes.end(), memory);
  return memory;
}

// [4]
CUresult give_map(std::uint8_t** gpc, std::uint8_t** slot) noexcept try {
  if (const CUresult state = driver::ready(); state != CUDA_SUCCESS) return state;
  if (gpc == nullptr || slot == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::vector<std::uint8_t> gpcs;
  std::vector<std::uint8_t> slots;
  if (!gpc_map(gpcs, slots)) return driver::refuse_slot(kTable, 4);
  std::uint8_t* const first = copy(gpcs);
  std::uint8_t* const second = copy(slots);
  if (first == nullptr || second == nullptr) {
    std::free(first);
    std::free(second);
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  *gpc = first;
  *slot = second;
  return CUDA_SUCCESS;
} catch (const std::exception&) {
  return CUDA_ERROR_OUT_OF_MEMORY;
}

// [13]
CUresult free_map(std::uint8_t* gpc, std::uint8_t* slot) noexcept {
  std::free(gpc);
  std::free(slot);
  return CUDA_SUCCESS;
}

}  // namespace

const void* cluster_table() noexcept {
  static const auto table = SlotTable<kTable, 17>().set(4, give_map).set(13, free_map);
  return table.data();
}

}  // namespace vgpu::shim
