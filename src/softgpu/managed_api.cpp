#include <vector>

#include "common/managed_ranges.hpp"
#include "softgpu/guard.hpp"

/// Managed memory. It is device memory, which the host may touch at the same address at any time: all of it is memory
/// of this process. Advice and prefetches are kept and answered, they move nothing.
using namespace vgpu::softgpu;

namespace {

using vgpu::ManagedRanges;
using Location = ManagedRanges::Location;

/// The part of a managed allocation that a range names.
struct Part {
  std::shared_ptr<ManagedRanges> ranges;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
};

CUresult find_part(CUdeviceptr pointer, std::size_t bytes, Part& part) {
  if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  const auto allocation = driver().memory.find(pointer);
  if (!allocation || allocation->managed == nullptr) return CUDA_ERROR_INVALID_VALUE;
  part = {allocation->managed, pointer - allocation->address, bytes};
  return bytes <= allocation->bytes - part.offset ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult check_location(const CUmemLocation& from, Location& location) {
  switch (from.type) {
    case CU_MEM_LOCATION_TYPE_DEVICE:
      location = {CU_MEM_LOCATION_TYPE_DEVICE, from.id};
      return check_device(from.id);
    case CU_MEM_LOCATION_TYPE_HOST:
    case CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT:
      location = {from.type, 0};
      return CUDA_SUCCESS;
    case CU_MEM_LOCATION_TYPE_HOST_NUMA:
      location = {from.type, from.id};
      return from.id >= 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

/// The older calls name a device by its number, or the CPU.
CUmemLocation location_of(CUdevice device) noexcept {
  CUmemLocation location{};
  location.type = device == CU_DEVICE_CPU ? CU_MEM_LOCATION_TYPE_HOST : CU_MEM_LOCATION_TYPE_DEVICE;
  location.id = device == CU_DEVICE_CPU ? 0 : device;
  return location;
}

CUresult advise(CUdeviceptr pointer, std::size_t bytes, CUmem_advise advice, const CUmemLocation& where) {
  return with_healthy_driver([&](Driver&) {
    // What takes no location ignores it.
    const bool located = advice == CU_MEM_ADVISE_SET_PREFERRED_LOCATION || advice == CU_MEM_ADVISE_SET_ACCESSED_BY ||
                         advice == CU_MEM_ADVISE_UNSET_ACCESSED_BY;
    Location location;
    if (located) {
      if (const CUresult error = check_location(where, location); error != CUDA_SUCCESS) return error;
    }
    Part part;
    if (const CUresult error = find_part(pointer, bytes, part); error != CUDA_SUCCESS) return error;
    return part.ranges->advise(part.offset, part.bytes, advice, location);
  });
}

void note_in(Stream& stream, Part part, Location location) {
  stream.run_short(
      [part = std::move(part), location] { part.ranges->note_prefetch(part.offset, part.bytes, location); });
}

CUresult prefetch(CUdeviceptr pointer, std::size_t bytes, const CUmemLocation& where, unsigned flags, CUstream handle) {
  return with_stream(handle, [&](Context&, Stream& stream) {
    if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
    Location location;
    if (const CUresult error = check_location(where, location); error != CUDA_SUCCESS) return error;
    Part part;
    if (const CUresult error = find_part(pointer, bytes, part); error != CUDA_SUCCESS) return error;
    note_in(stream, std::move(part), location);
    return CUDA_SUCCESS;
  });
}

/// `locations` may be null where nothing is to be prefetched. Nothing is done when any of the ranges is bad.
CUresult batch(CUdeviceptr* pointers, std::size_t* sizes, std::size_t count, CUmemLocation* locations,
               std::size_t* indices, std::size_t location_count, unsigned long long flags, bool prefetches,
               CUstream handle) {
  return with_stream(handle, [&](Context&, Stream& stream) {
    if (pointers == nullptr || sizes == nullptr || count == 0 || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    if (prefetches && (locations == nullptr || indices == nullptr || location_count == 0 || location_count > count ||
                       indices[0] != 0)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    std::vector<Part> parts(count);
    std::vector<Location> wanted(location_count);
    for (std::size_t i = 0; i < location_count; ++i) {
      if (i > 0 && (indices[i] <= indices[i - 1] || indices[i] >= count)) return CUDA_ERROR_INVALID_VALUE;
      if (const CUresult error = check_location(locations[i], wanted[i]); error != CUDA_SUCCESS) return error;
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (const CUresult error = find_part(pointers[i], sizes[i], parts[i]); error != CUDA_SUCCESS) return error;
    }
    // A discard lets the contents be anything, what they are included.
    if (!prefetches) return CUDA_SUCCESS;
    std::size_t location = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (location + 1 < location_count && indices[location + 1] == i) ++location;
      note_in(stream, std::move(parts[i]), wanted[location]);
    }
    return CUDA_SUCCESS;
  });
}

CUresult attach(CUstream handle, CUdeviceptr pointer, std::size_t length, unsigned flags) {
  return with_stream(handle, [&](Context&, Stream&) {
    if (flags != CU_MEM_ATTACH_GLOBAL && flags != CU_MEM_ATTACH_HOST && flags != CU_MEM_ATTACH_SINGLE) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (flags == CU_MEM_ATTACH_SINGLE && (handle == nullptr || handle == CU_STREAM_LEGACY)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto allocation = driver().memory.find(pointer);
    if (!allocation || allocation->managed == nullptr || allocation->address != pointer)
      return CUDA_ERROR_INVALID_VALUE;
    // Only whole allocations can be attached. Host and device may always access at once, so that it changes nothing.
    return length == 0 || length == allocation->bytes ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}

}  // namespace

#undef cuMemAdvise
#undef cuMemPrefetchAsync
#undef cuMemPrefetchBatchAsync
#undef cuMemDiscardBatchAsync
#undef cuMemDiscardAndPrefetchBatchAsync
#undef cuStreamAttachMemAsync

CUresult CUDAAPI cuMemAllocManaged(CUdeviceptr* pointer, size_t bytes, unsigned int flags) {
  return with_context([&](Context& context) {
    if (pointer == nullptr || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    if (flags != CU_MEM_ATTACH_GLOBAL && flags != CU_MEM_ATTACH_HOST) return CUDA_ERROR_INVALID_VALUE;
    const std::uint64_t address = allocate_device_memory(context, bytes, MemoryKind::managed);
    if (address == 0) return CUDA_ERROR_OUT_OF_MEMORY;
    *pointer = address;
    return CUDA_SUCCESS;
  });
}

VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemAdvise(CUdeviceptr pointer, size_t bytes, CUmem_advise advice, CUdevice device) {
  return advise(pointer, bytes, advice, location_of(device));
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemAdvise_v2(CUdeviceptr pointer, size_t bytes, CUmem_advise advice,
                                                 CUmemLocation location) {
  return advise(pointer, bytes, advice, location);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemPrefetchAsync(CUdeviceptr pointer, size_t bytes, CUdevice device,
                                                     CUstream stream) {
  return prefetch(pointer, bytes, location_of(device), 0, stream);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemPrefetchAsync_ptsz(CUdeviceptr pointer, size_t bytes, CUdevice device,
                                                          CUstream stream) {
  return prefetch(pointer, bytes, location_of(device), 0, per_thread(stream));
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemPrefetchAsync_v2(CUdeviceptr pointer, size_t bytes, CUmemLocation location,
                                                        unsigned int flags, CUstream stream) {
  return prefetch(pointer, bytes, location, flags, stream);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemPrefetchAsync_v2_ptsz(CUdeviceptr pointer, size_t bytes, CUmemLocation location,
                                                             unsigned int flags, CUstream stream) {
  return prefetch(pointer, bytes, location, flags, per_thread(stream));
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemPrefetchBatchAsync(CUdeviceptr* pointers, size_t* sizes, size_t count,
                                                          CUmemLocation* locations, size_t* indices,
                                                          size_t location_count, unsigned long long flags,
                                                          CUstream stream) {
  return batch(pointers, sizes, count, locations, indices, location_count, flags, true, stream);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemPrefetchBatchAsync_ptsz(CUdeviceptr* pointers, size_t* sizes, size_t count,
                                                               CUmemLocation* locations, size_t* indices,
                                                               size_t location_count, unsigned long long flags,
                                                               CUstream stream) {
  return batch(pointers, sizes, count, locations, indices, location_count, flags, true, per_thread(stream));
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemDiscardBatchAsync(CUdeviceptr* pointers, size_t* sizes, size_t count,
                                                         unsigned long long flags, CUstream stream) {
  return batch(pointers, sizes, count, nullptr, nullptr, 0, flags, false, stream);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemDiscardBatchAsync_ptsz(CUdeviceptr* pointers, size_t* sizes, size_t count,
                                                              unsigned long long flags, CUstream stream) {
  return batch(pointers, sizes, count, nullptr, nullptr, 0, flags, false, per_thread(stream));
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemDiscardAndPrefetchBatchAsync(CUdeviceptr* pointers, size_t* sizes, size_t count,
                                                                    CUmemLocation* locations, size_t* indices,
                                                                    size_t location_count, unsigned long long flags,
                                                                    CUstream stream) {
  return batch(pointers, sizes, count, locations, indices, location_count, flags, true, stream);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemDiscardAndPrefetchBatchAsync_ptsz(CUdeviceptr* pointers, size_t* sizes,
                                                                         size_t count, CUmemLocation* locations,
                                                                         size_t* indices, size_t location_count,
                                                                         unsigned long long flags, CUstream stream) {
  return batch(pointers, sizes, count, locations, indices, location_count, flags, true, per_thread(stream));
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamAttachMemAsync(CUstream stream, CUdeviceptr pointer, size_t length,
                                                         unsigned int flags) {
  return attach(stream, pointer, length, flags);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamAttachMemAsync_ptsz(CUstream stream, CUdeviceptr pointer, size_t length,
                                                              unsigned int flags) {
  return attach(per_thread(stream), pointer, length, flags);
}

CUresult CUDAAPI cuMemRangeGetAttribute(void* data, size_t size, CUmem_range_attribute attribute, CUdeviceptr pointer,
                                        size_t count) {
  return with_healthy_driver([&](Driver&) {
    if (data == nullptr) return CUDA_ERROR_INVALID_VALUE;
    Part part;
    if (const CUresult error = find_part(pointer, count, part); error != CUDA_SUCCESS) return error;
    return part.ranges->get(part.offset, part.bytes, attribute, data, size);
  });
}

CUresult CUDAAPI cuMemRangeGetAttributes(void** data, size_t* sizes, CUmem_range_attribute* attributes,
                                         size_t attribute_count, CUdeviceptr pointer, size_t count) {
  return with_healthy_driver([&](Driver&) {
    if (data == nullptr || sizes == nullptr || attributes == nullptr || attribute_count == 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    Part part;
    if (const CUresult error = find_part(pointer, count, part); error != CUDA_SUCCESS) return error;
    for (std::size_t i = 0; i < attribute_count; ++i) {
      if (data[i] == nullptr) return CUDA_ERROR_INVALID_VALUE;
      const CUresult error = part.ranges->get(part.offset, part.bytes, attributes[i], data[i], sizes[i]);
      if (error != CUDA_SUCCESS) return error;
    }
    return CUDA_SUCCESS;
  });
}
