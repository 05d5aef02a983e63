// Device memory: allocation, and what the guest knows of it.
#include "shim/memory.hpp"

#include <bit>

namespace vgpu::shim {

void remember_device_memory(const Context& context, u64 base, u64 bytes, u64 pool) {
  state().allocations.add({base, bytes, Allocation::Kind::device, context.handle, context.device, 0, base, 0, pool, 0});
}

u32 context_index(u64 context) noexcept { return protocol::ContextHandle{context}.index(); }

}  // namespace vgpu::shim

using namespace vgpu::shim;

CUresult cuMemAlloc(CUdeviceptr* out, size_t bytes) {
  return with_context([&](Context& context) -> CUresult {
    if (!out || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    call::cuMemAlloc::Reply reply{};
    const CUresult result = ask<call::cuMemAlloc>(context.index(), {bytes}, &reply);
    if (result != CUDA_SUCCESS) return result;
    *out = static_cast<CUdeviceptr>(reply.pointer);
    remember_device_memory(context, *out, bytes, 0);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemAllocPitch(CUdeviceptr* out, size_t* pitch, size_t width, size_t height, unsigned int element_bytes) {
  return with_context([&](Context& context) -> CUresult {
    if (!out || !pitch || width == 0 || height == 0 ||
        (element_bytes != 4 && element_bytes != 8 && element_bytes != 16))
      return CUDA_ERROR_INVALID_VALUE;
    call::cuMemAllocPitch::Reply reply{};
    const CUresult result = ask<call::cuMemAllocPitch>(context.index(), {width, height, element_bytes, 0}, &reply);
    if (result != CUDA_SUCCESS) return result;
    *out = static_cast<CUdeviceptr>(reply.pointer);
    *pitch = reply.pitch;
    remember_device_memory(context, *out, reply.pitch * height, 0);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemFree(CUdeviceptr pointer) {
  return guarded([&]() -> CUresult {
    if (pointer == 0) return CUDA_SUCCESS;
    if (any_capture())
      if (const CUresult refused = state().captures.refuse_unsafe(); refused != CUDA_SUCCESS) return refused;
    // Forgotten first: once the executor has freed it, another thread may get the same address.
    if (const auto managed = state().allocations.remove(pointer, Allocation::Kind::managed)) {
      const Context* context = state().contexts.find(managed->context);
      return context ? state().host_memory.free(*context, *managed) : CUDA_ERROR_CONTEXT_IS_DESTROYED;
    }
    const auto known = state().allocations.remove(pointer, Allocation::Kind::device);
    if (!known) return CUDA_ERROR_INVALID_VALUE;
    return ask<call::cuMemFree>(context_index(known->context), {Pointer{pointer}});
  });
}

CUresult cuMemGetInfo(size_t* free, size_t* total) {
  return with_context([&](Context& context) -> CUresult {
    if (!free || !total) return CUDA_ERROR_INVALID_VALUE;
    call::cuMemGetInfo::Reply reply{};
    const CUresult result = ask<call::cuMemGetInfo>(context.index(), {0}, &reply);
    if (result != CUDA_SUCCESS) return result;
    *free = reply.free;
    *total = reply.total;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemGetAddressRange(CUdeviceptr* base, size_t* bytes, CUdeviceptr pointer) {
  return with_context([&](Context&) -> CUresult {
    const auto known = state().allocations.find(pointer);
    if (!known) return CUDA_ERROR_NOT_FOUND;
    if (base) *base = known->device_base;
    if (bytes) *bytes = known->bytes;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemAllocAsync(CUdeviceptr* out, size_t bytes, CUstream stream) {
  return with_stream(stream, [&](Context& context, StreamHandle handle) -> CUresult {
    if (!out || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    call::cuMemAllocAsync::Reply reply{};
    const CUresult result = ask<call::cuMemAllocAsync>(context.index(), {bytes, handle}, &reply);
    if (result != CUDA_SUCCESS) return result;
    *out = static_cast<CUdeviceptr>(reply.pointer);
    remember_device_memory(context, *out, bytes,
                           state().devices[static_cast<std::size_t>(context.device)]->pool.load());
    return CUDA_SUCCESS;
  });
}

// Without a current context the stream's own does: XLA's allocator frees from threads that have none.
CUresult cuMemFreeAsync(CUdeviceptr pointer, CUstream stream) {
  const auto free = [&](Context& context, StreamHandle handle) -> CUresult {
    if (pointer == 0) return CUDA_ERROR_INVALID_VALUE;
    const auto known = state().allocations.remove(pointer, Allocation::Kind::device);
    if (!known) return CUDA_ERROR_INVALID_VALUE;
    const CUresult result = post<call::cuMemFreeAsync>(context.index(), {Pointer{pointer}, handle});
    // What a capture forbids has not been sent.
    if (is_capture_error(result)) state().allocations.add(*known);
    return result;
  };
  return guarded([&]() -> CUresult {
    const Stream* known = this_thread().current() == 0 ? state().streams.find(reinterpret_cast<u64>(stream)) : nullptr;
    Context* context = known ? state().contexts.find(known->context) : nullptr;
    return context ? free(*context, {reinterpret_cast<u64>(stream)}) : with_stream(stream, free);
  });
}
