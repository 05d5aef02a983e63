// Managed memory: in the arena, registered with the GPU, at one address for the program, the executor and kernels. It
// stays where it is: advice and prefetches are checked, kept and answered, as they only are hints to a driver that
// moves pages.
#include "shim/location.hpp"
#include "shim/memory.hpp"
#include "shim/refuse_as.hpp"

#undef cuMemAdvise
#undef cuMemPrefetchAsync

using namespace vgpu::shim;
using Location = vgpu::ManagedRanges::Location;

namespace {

/// The part of a managed allocation that a range names.
struct Part {
  std::shared_ptr<vgpu::ManagedRanges> ranges;
  u64 offset = 0;
};

CUresult find_part(CUdeviceptr pointer, size_t bytes, Part& part) {
  const auto known = state().allocations.find(pointer);
  if (bytes == 0 || !known || known->kind != Allocation::Kind::managed) return CUDA_ERROR_INVALID_VALUE;
  part = {known->ranges, pointer - known->base};
  return bytes <= known->bytes - part.offset ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult check_place(const CUmemLocation& from, Location& to) {
  switch (from.type) {
    case CU_MEM_LOCATION_TYPE_DEVICE:
      to = {from.type, from.id};
      return check_device_location(from, "cuMemAdvise");
    case CU_MEM_LOCATION_TYPE_HOST:
    case CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT:
      to = {from.type, 0};
      return CUDA_SUCCESS;
    case CU_MEM_LOCATION_TYPE_HOST_NUMA:
      to = {from.type, from.id};
      return from.id >= 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

/// The older calls name a device by its number, or the CPU.
CUmemLocation place_of(CUdevice device) noexcept {
  CUmemLocation location{};
  location.type = device == CU_DEVICE_CPU ? CU_MEM_LOCATION_TYPE_HOST : CU_MEM_LOCATION_TYPE_DEVICE;
  location.id = device == CU_DEVICE_CPU ? 0 : device;
  return location;
}

CUresult advise(CUdeviceptr pointer, size_t bytes, CUmem_advise advice, const CUmemLocation& where) {
  return with_context([&](Context&) -> CUresult {
    const bool located = advice == CU_MEM_ADVISE_SET_PREFERRED_LOCATION || advice == CU_MEM_ADVISE_SET_ACCESSED_BY ||
                         advice == CU_MEM_ADVISE_UNSET_ACCESSED_BY;
    Location location;
    if (located)
      if (const CUresult result = check_place(where, location); result != CUDA_SUCCESS) return result;
    Part part;
    const CUresult result = find_part(pointer, bytes, part);
    return result == CUDA_SUCCESS ? part.ranges->advise(part.offset, bytes, advice, location) : result;
  });
}

CUresult prefetch(CUdeviceptr pointer, size_t bytes, const CUmemLocation& where, unsigned flags, CUstream stream) {
  return with_stream(stream, [&](Context&, StreamHandle) -> CUresult {
    if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
    Location location;
    CUresult result = check_place(where, location);
    if (result != CUDA_SUCCESS) return result;
    Part part;
    result = find_part(pointer, bytes, part);
    if (result == CUDA_SUCCESS) part.ranges->note_prefetch(part.offset, bytes, location);
    return result;
  });
}

}  // namespace

CUresult cuMemAllocManaged(CUdeviceptr* out, size_t bytes, unsigned int flags) {
  return with_context([&](Context& context) -> CUresult {
    if (!out || bytes == 0 || (flags != CU_MEM_ATTACH_GLOBAL && flags != CU_MEM_ATTACH_HOST))
      return CUDA_ERROR_INVALID_VALUE;
    State& s = state();
    Allocation made;
    const CUresult result = s.host_memory.allocate(context, bytes, CU_MEMHOSTALLOC_PORTABLE, made);
    if (result != CUDA_SUCCESS) return result;
    if (made.device_base != made.base) {
      // A pointer that means one thing to the program and another to a kernel is no managed memory.
      s.host_memory.free(context, made);
      return refuse_as("cuMemAllocManaged", "managed memory where the guest could not map the arena in its place");
    }
    made.kind = Allocation::Kind::managed;
    made.ranges = std::make_shared<vgpu::ManagedRanges>();
    s.allocations.add(made);
    *out = made.base;
    return CUDA_SUCCESS;
  });
}

extern "C" {

CUresult CUDAAPI cuMemAdvise_v2(CUdeviceptr pointer, size_t bytes, CUmem_advise advice, CUmemLocation location) {
  return advise(pointer, bytes, advice, location);
}

CUresult CUDAAPI cuMemAdvise(CUdeviceptr pointer, size_t bytes, CUmem_advise advice, CUdevice device) {
  return advise(pointer, bytes, advice, place_of(device));
}

CUresult CUDAAPI cuMemPrefetchAsync_v2(CUdeviceptr pointer, size_t bytes, CUmemLocation location, unsigned int flags,
                                       CUstream stream) {
  return prefetch(pointer, bytes, location, flags, stream);
}

CUresult CUDAAPI cuMemPrefetchAsync(CUdeviceptr pointer, size_t bytes, CUdevice device, CUstream stream) {
  return prefetch(pointer, bytes, place_of(device), 0, stream);
}

}  // extern "C"

CUresult cuStreamAttachMemAsync(CUstream stream, CUdeviceptr pointer, size_t length, unsigned int flags) {
  return with_stream(stream, [&](Context&, StreamHandle) -> CUresult {
    if (flags != CU_MEM_ATTACH_GLOBAL && flags != CU_MEM_ATTACH_HOST && flags != CU_MEM_ATTACH_SINGLE)
      return CUDA_ERROR_INVALID_VALUE;
    // The GPU and the host reach it at any time, so that an attachment restricts what needs no restriction.
    const auto known = state().allocations.find(pointer);
    if (!known || known->kind != Allocation::Kind::managed || known->base != pointer) return CUDA_ERROR_INVALID_VALUE;
    return length == 0 || length == known->bytes ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuMemRangeGetAttribute(void* data, size_t size, CUmem_range_attribute attribute, CUdeviceptr pointer,
                                size_t count) {
  return with_context([&](Context&) -> CUresult {
    if (!data) return CUDA_ERROR_INVALID_VALUE;
    Part part;
    const CUresult result = find_part(pointer, count, part);
    return result == CUDA_SUCCESS ? part.ranges->get(part.offset, count, attribute, data, size) : result;
  });
}

CUresult cuMemRangeGetAttributes(void** data, size_t* sizes, CUmem_range_attribute* attributes, size_t attribute_count,
                                 CUdeviceptr pointer, size_t count) {
  return with_context([&](Context&) -> CUresult {
    if (!data || !sizes || !attributes || attribute_count == 0) return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < attribute_count; ++i) {
      const CUresult result = cuMemRangeGetAttribute(data[i], sizes[i], attributes[i], pointer, count);
      if (result != CUDA_SUCCESS) return result;
    }
    return CUDA_SUCCESS;
  });
}
