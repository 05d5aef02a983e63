// What a program may set of memory.
#include "shim/refuse_as.hpp"
#include "shim/session.hpp"

using namespace vgpu::shim;

CUresult cuPointerSetAttribute(const void* value, CUpointer_attribute attribute, CUdeviceptr pointer) {
  return guarded([&]() -> CUresult {
    if (!value || attribute != CU_POINTER_ATTRIBUTE_SYNC_MEMOPS) return CUDA_ERROR_INVALID_VALUE;
    const auto known = state().allocations.find(pointer);
    if (!known || known->kind == Allocation::Kind::host) return CUDA_ERROR_INVALID_VALUE;
    if (*static_cast<const unsigned*>(value) == 0) return CUDA_SUCCESS;
    // For other devices that reach into the GPU's memory by themselves, which a guest has none of.
    return refuse_as("cuPointerSetAttribute", "cuPointerSetAttribute of CU_POINTER_ATTRIBUTE_SYNC_MEMOPS");
  });
}
