// Pinned host memory: extents of the arena.
#include "shim/memory.hpp"

using namespace vgpu::shim;

static CUresult allocate_pinned(void** out, size_t bytes, unsigned int flags) {
  return with_context([&](Context& context) -> CUresult {
    constexpr unsigned kFlags = CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP | CU_MEMHOSTALLOC_WRITECOMBINED;
    if (!out || bytes == 0 || (flags & ~kFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
    Allocation made;
    const CUresult result = state().host_memory.allocate(context, bytes, flags, made);
    if (result != CUDA_SUCCESS) return result;
    state().allocations.add(made);
    *out = reinterpret_cast<void*>(made.base);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemHostAlloc(void** out, size_t bytes, unsigned int flags) { return allocate_pinned(out, bytes, flags); }

// With unified addressing all pinned memory is portable and mapped.
CUresult cuMemAllocHost(void** out, size_t bytes) { return allocate_pinned(out, bytes, 0); }

CUresult cuMemFreeHost(void* pointer) {
  return guarded([&]() -> CUresult {
    if (any_capture())
      if (const CUresult refused = state().captures.refuse_unsafe(); refused != CUDA_SUCCESS) return refused;
    const CaptureBypass freeing;
    const auto known = state().allocations.remove(reinterpret_cast<u64>(pointer), Allocation::Kind::host);
    if (!known) return CUDA_ERROR_INVALID_VALUE;
    const Context* context = state().contexts.find(known->context);
    return context ? state().host_memory.free(*context, *known) : CUDA_ERROR_CONTEXT_IS_DESTROYED;
  });
}

CUresult cuMemHostGetDevicePointer(CUdeviceptr* out, void* pointer, unsigned int flags) {
  return with_context([&](Context&) -> CUresult {
    if (!out || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    const u64 address = reinterpret_cast<u64>(pointer);
    const auto known = state().allocations.find(address);
    if (!known || known->kind != Allocation::Kind::host) return CUDA_ERROR_INVALID_VALUE;
    *out = known->device_base + (address - known->base);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemHostGetFlags(unsigned int* flags, void* pointer) {
  return with_context([&](Context&) -> CUresult {
    const auto known = state().allocations.find(reinterpret_cast<u64>(pointer));
    if (!flags || !known || known->kind != Allocation::Kind::host) return CUDA_ERROR_INVALID_VALUE;
    // The driver maps all of it, asked or not.
    *flags = known->flags | CU_MEMHOSTALLOC_DEVICEMAP;
    return CUDA_SUCCESS;
  });
}
