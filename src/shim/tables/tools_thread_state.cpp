// Table 42d85a81, 3 words: the calling thread's state.
#include "shim/tables/slot_table.hpp"

namespace vgpu::shim {
namespace {

// [2] cuBLAS keeps its kernels by what this says together with 21318c60[4]; null is a right answer, an unwritten one is
// not.
CUresult current_context(CUcontext* context) noexcept {
  if (const CUresult state = driver::ready(); state != CUDA_SUCCESS) return state;
  if (context == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return driver::current_context(context);
}

}  // namespace

const void* tools_thread_state_table() noexcept {
  static const auto table = SlotTable<TableId::kToolsThreadState, 3>().set(2, current_context);
  return table.data();
}

}  // namespace vgpu::shim
