// Table 263e8860: checks that the runtime makes on contexts. 15 words on a driver that reports CUDA 13.0; later ones
// have more.
#include "shim/tables/slot_table.hpp"

namespace vgpu::shim {
namespace {

// [2] Says that the context is an ordinary one. The third argument is an output for contexts that wrap another; it must
// stay as it was, or cuBLAS does not start.
CUresult check(CUcontext, std::uint32_t* wrapped, void**) noexcept {
  if (const CUresult state = driver::ready(); state != CUDA_SUCCESS) return state;
  if (wrapped == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *wrapped = 0;
  return CUDA_SUCCESS;
}

// [3]
std::uint32_t state() noexcept { return 0; }

}  // namespace

const void* context_checks_table() noexcept {
  static const auto table = SlotTable<TableId::kContextChecks, 15>().set(2, check).set(3, state);
  return table.data();
}

}  // namespace vgpu::shim
