#include "executor/dispatch.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {
CUdeviceptr device_pointer(Pointer pointer) noexcept { return static_cast<CUdeviceptr>(pointer); }
}  // namespace

VGPU_HANDLER(cuMemAlloc) {
  CUdeviceptr pointer = 0;
  const CUresult result = in.cuda.cuMemAlloc_v2(&pointer, request.bytes);
  if (result != CUDA_SUCCESS) return result;
  in.session.allocations.add(pointer, request.bytes);
  reply.pointer = Pointer{pointer};
  return result;
}

VGPU_HANDLER(cuMemAllocPitch) {
  CUdeviceptr pointer = 0;
  std::size_t pitch = 0;
  const CUresult result =
      in.cuda.cuMemAllocPitch_v2(&pointer, &pitch, request.width, request.height, request.element_bytes);
  if (result != CUDA_SUCCESS) return result;
  in.session.allocations.add(pointer, pitch * request.height);
  reply.pointer = Pointer{pointer};
  reply.pitch = pitch;
  return result;
}

VGPU_HANDLER(cuMemFree) {
  // Before the driver's call: the address may be given out again at once.
  const CUdeviceptr pointer = device_pointer(request.pointer);
  const u64 bytes = in.session.allocations.remove(pointer);
  const CUresult result = in.cuda.cuMemFree_v2(pointer);
  if (result != CUDA_SUCCESS && bytes != 0) in.session.allocations.add(pointer, bytes);
  return result;
}

VGPU_HANDLER(cuMemGetInfo) {
  std::size_t free = 0;
  std::size_t total = 0;
  const CUresult result = in.cuda.cuMemGetInfo_v2(&free, &total);
  reply.free = free;
  reply.total = total;
  return result;
}

VGPU_HANDLER(cuMemAllocAsync) {
  CUstream stream = nullptr;
  if (!in.stream(request.stream, stream)) return CUDA_ERROR_INVALID_HANDLE;
  CUdeviceptr pointer = 0;
  const CUresult result = in.cuda.cuMemAllocAsync(&pointer, request.bytes, stream);
  if (result != CUDA_SUCCESS) return result;
  in.session.allocations.add(pointer, request.bytes);
  reply.pointer = Pointer{pointer};
  return result;
}

VGPU_HANDLER(cuMemFreeAsync) {
  CUstream stream = nullptr;
  if (!in.stream(request.stream, stream)) return CUDA_ERROR_INVALID_HANDLE;
  const CUdeviceptr pointer = device_pointer(request.pointer);
  const u64 bytes = in.session.allocations.remove(pointer);
  const CUresult result = in.cuda.cuMemFreeAsync(pointer, stream);
  if (result != CUDA_SUCCESS && bytes != 0) in.session.allocations.add(pointer, bytes);
  return result;
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
  reply.device_pointer = Pointer{pointer};
  return CUDA_SUCCESS;
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
  if (!in.session.region.discard(request.extent, bytes)) return CUDA_ERROR_OPERATING_SYSTEM;
  return CUDA_SUCCESS;
}

}  // namespace vgpu::executor
