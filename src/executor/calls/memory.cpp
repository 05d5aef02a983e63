#include <algorithm>

#include "executor/pool_memory.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

CUdeviceptr device_pointer(Pointer pointer) noexcept { return static_cast<CUdeviceptr>(pointer); }

/// The widest rows that a device may want to begin on.
constexpr u64 kPitch = 512;

/// The pool that cuMemAllocAsync takes from.
CUresult current_pool(Invocation& in, CUmemoryPool& pool) {
  CUdevice device = 0;
  if (const CUresult result = in.cuda.cuCtxGetDevice(&device); result != CUDA_SUCCESS) return result;
  {
    const std::lock_guard lock(in.session.current_pools_mutex);
    const auto chosen = in.session.current_pools.find(device);
    if (chosen != in.session.current_pools.end()) pool = in.session.handles.find<CUmemoryPool>(chosen->second);
  }
  // One that was destroyed leaves the device with its default pool.
  return pool != nullptr ? CUDA_SUCCESS : in.cuda.cuDeviceGetDefaultMemPool(&pool, device);
}

CUresult register_extent(Invocation& in, std::byte* host, u64 offset, u64 bytes, Pointer& device_pointer) {
  std::lock_guard lock(in.session.extents_mutex);
  // Always portable and mapped: the arena is at one address for the guest's every context.
  CUresult result =
      in.cuda.cuMemHostRegister_v2(host, bytes, CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP);
  if (result != CUDA_SUCCESS) return result;
  CUdeviceptr pointer = 0;
  result = in.cuda.cuMemHostGetDevicePointer_v2(&pointer, host, 0);
  if (result != CUDA_SUCCESS) {
    in.cuda.cuMemHostUnregister(host);
    return result;
  }
  in.session.extents[offset] = bytes;
  device_pointer = Pointer{pointer};
  return CUDA_SUCCESS;
}

}  // namespace

VGPU_HANDLER(cuMemAlloc) {
  if (in.leave_to_worker(!in.session.memory.has_room(request.bytes))) return CUDA_SUCCESS;
  return in.session.memory.hold(request.bytes, in.header.context, [&](u64& address) {
    CUdeviceptr pointer = 0;
    const CUresult result = in.cuda.cuMemAlloc_v2(&pointer, request.bytes);
    reply.pointer = Pointer{address = pointer};
    return result;
  });
}

VGPU_HANDLER(cuMemAllocPitch) {
  u64 bytes = 0;
  if (request.width > ~u64{0} - kPitch ||
      __builtin_mul_overflow((request.width + kPitch - 1) / kPitch * kPitch, request.height, &bytes))
    bytes = ~u64{0};
  return in.session.memory.hold(bytes, in.header.context, [&](u64& address) {
    CUdeviceptr pointer = 0;
    std::size_t pitch = 0;
    const CUresult result =
        in.cuda.cuMemAllocPitch_v2(&pointer, &pitch, request.width, request.height, request.element_bytes);
    reply.pointer = Pointer{address = pointer};
    reply.pitch = pitch;
    return result;
  });
}

VGPU_HANDLER(cuMemFree) {
  if (in.leave_to_worker()) return CUDA_SUCCESS;
  const CUdeviceptr pointer = device_pointer(request.pointer);
  return in.session.memory.let_go(pointer, [&] { return in.cuda.cuMemFree_v2(pointer); });
}

VGPU_HANDLER(cuMemGetInfo) {
  std::size_t free = 0;
  std::size_t total = 0;
  const CUresult result = in.cuda.cuMemGetInfo_v2(&free, &total);
  const Account& account = in.session.account;
  reply.free = free;
  reply.total = total;
  in.session.memory.refresh();
  if (const u64 most = account.limit(Limit::memory); most != 0) {
    reply.total = std::min<u64>(total, most);
    reply.free = std::min<u64>(free, account.left(Limit::memory));
  }
  return result;
}

VGPU_HANDLER(cuMemAllocAsync) {
  CUstream stream = nullptr;
  if (!in.stream(request.stream, stream)) return CUDA_ERROR_INVALID_HANDLE;
  CUmemoryPool pool = nullptr;
  if (const CUresult result = current_pool(in, pool); result != CUDA_SUCCESS) return result;
  return allocate_from_pool(in, pool, stream, request.bytes, reply.pointer, [&](CUdeviceptr* pointer) {
    return in.cuda.cuMemAllocAsync(pointer, request.bytes, stream);
  });
}

VGPU_HANDLER(cuMemFreeAsync) {
  CUstream stream = nullptr;
  if (!in.stream(request.stream, stream)) return CUDA_ERROR_INVALID_HANDLE;
  const CUdeviceptr pointer = device_pointer(request.pointer);
  const auto free = [&] { return in.cuda.cuMemFreeAsync(pointer, stream); };
  // In a capture nothing is freed.
  return in.session.captures.captures(in.cuda, stream) ? free()
                                                       : in.session.memory.free_later(pointer, in.header.context, free);
}

VGPU_HANDLER(cuMemHostAlloc) {
  const u64 offset = static_cast<u64>(request.extent);
  constexpr u32 kFlags = CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP | CU_MEMHOSTALLOC_WRITECOMBINED;
  if (request.bytes == 0 || (request.flags & ~kFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
  if (offset < VGPU_ARENA_OFFSET || offset % VGPU_PAGE != 0 ||
      in.session.region.span(request.extent, request.bytes) == nullptr)
    return in.violate(VGPU_END_BAD_BULK, "extent");
  // The region ends on a page, so that whole pages of it lie within it.
  const u64 bytes = (request.bytes + VGPU_PAGE - 1) / VGPU_PAGE * VGPU_PAGE;
  std::byte* host = in.session.region.span(request.extent, bytes);
  if (host == nullptr) return in.violate(VGPU_END_BAD_BULK, "extent");
  Account& account = in.session.account;
  if (!account.reserve(Limit::arena, bytes)) {
    account.refuse(Limit::arena);
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  const CUresult registered = register_extent(in, host, offset, bytes, reply.device_pointer);
  if (registered != CUDA_SUCCESS) account.release(Limit::arena, bytes);
  return registered;
}
VGPU_HANDLER(cuMemFreeHost) {
  const u64 offset = static_cast<u64>(request.extent);
  std::lock_guard lock(in.session.extents_mutex);
  const auto extent = in.session.extents.find(offset);
  if (extent == in.session.extents.end()) return CUDA_ERROR_INVALID_VALUE;
  const u64 bytes = extent->second;
  std::byte* host = in.session.region.span(request.extent, bytes);
  const CUresult result = in.cuda.cuMemHostUnregister(host);
  if (result != CUDA_SUCCESS && result != CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED) return result;
  in.session.extents.erase(extent);
  in.session.account.release(Limit::arena, bytes);
  if (!in.session.region.discard(request.extent, bytes)) return CUDA_ERROR_OPERATING_SYSTEM;
  return CUDA_SUCCESS;
}

}  // namespace vgpu::executor
