#include <algorithm>

#include "softgpu/array.hpp"
#include "softgpu/guard.hpp"

/// Arrays and mipmapped arrays.
using namespace vgpu::softgpu;

namespace {

CUresult create(CUarray* handle, const CUDA_ARRAY3D_DESCRIPTOR& descriptor) {
  return with_context([&](Context& context) {
    if (handle == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::shared_ptr<Array> array;
    if (const CUresult error = Array::create(context, descriptor, false, array); error != CUDA_SUCCESS) return error;
    *handle = driver().arrays.insert(std::move(array));
    return CUDA_SUCCESS;
  });
}

template <class Then>
CUresult with_array(CUarray handle, Then&& then) {
  return with_context([&](Context& context) {
    const auto array = driver().arrays.find(handle);
    if (array == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    return static_cast<CUresult>(then(context, *array));
  });
}

template <class Then>
CUresult with_mipmap(CUmipmappedArray handle, Then&& then) {
  return with_context([&](Context& context) {
    const auto array = driver().mipmapped_arrays.find(handle);
    if (array == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    return static_cast<CUresult>(then(context, *array));
  });
}

std::size_t halved(std::size_t size, unsigned level) noexcept {
  return size == 0 ? 0 : std::max<std::size_t>(1, size >> level);
}

/// Levels until each side is one texel; planes that are layers or faces stay as many.
unsigned most_levels(const CUDA_ARRAY3D_DESCRIPTOR& d) noexcept {
  const bool planes = (d.Flags & (CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_CUBEMAP)) != 0;
  std::size_t size = std::max({d.Width, d.Height, planes ? std::size_t{1} : d.Depth});
  unsigned levels = 0;
  for (; size != 0; size >>= 1) ++levels;
  return levels;
}

}  // namespace

CUresult CUDAAPI cuArrayCreate(CUarray* handle, const CUDA_ARRAY_DESCRIPTOR* descriptor) {
  if (descriptor == nullptr) return with_context([](Context&) { return CUDA_ERROR_INVALID_VALUE; });
  return create(handle, {descriptor->Width, descriptor->Height, 0, descriptor->Format, descriptor->NumChannels, 0});
}

CUresult CUDAAPI cuArray3DCreate(CUarray* handle, const CUDA_ARRAY3D_DESCRIPTOR* descriptor) {
  if (descriptor == nullptr) return with_context([](Context&) { return CUDA_ERROR_INVALID_VALUE; });
  return create(handle, *descriptor);
}

CUresult CUDAAPI cuArrayGetDescriptor(CUDA_ARRAY_DESCRIPTOR* descriptor, CUarray handle) {
  return with_array(handle, [&](Context&, const Array& array) {
    if (descriptor == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const CUDA_ARRAY3D_DESCRIPTOR& d = array.descriptor();
    *descriptor = {d.Width, d.Height, d.Format, d.NumChannels};
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuArray3DGetDescriptor(CUDA_ARRAY3D_DESCRIPTOR* descriptor, CUarray handle) {
  return with_array(handle, [&](Context&, const Array& array) {
    if (descriptor == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *descriptor = array.descriptor();
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuArrayDestroy(CUarray handle) {
  return with_array(handle, [&](Context& context, const Array& array) {
    if (array.of_mipmap()) return CUDA_ERROR_INVALID_HANDLE;
    context.synchronize();  // kernels and copies may still use it
    return driver().arrays.remove(handle) != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
  });
}

/// Formats with planes of their own are not carried, so that no array has any.
CUresult CUDAAPI cuArrayGetPlane(CUarray* plane, CUarray handle, unsigned int) {
  return with_array(handle, [&](Context&, const Array&) {
    if (plane == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return CUDA_ERROR_INVALID_VALUE;
  });
}

/// No array is sparse.
CUresult CUDAAPI cuArrayGetSparseProperties(CUDA_ARRAY_SPARSE_PROPERTIES* properties, CUarray handle) {
  return with_array(handle, [&](Context&, const Array&) {
    static_cast<void>(properties);
    return CUDA_ERROR_INVALID_VALUE;
  });
}

/// Only for arrays whose memory is mapped later, which are not carried.
CUresult CUDAAPI cuArrayGetMemoryRequirements(CUDA_ARRAY_MEMORY_REQUIREMENTS* requirements, CUarray handle, CUdevice) {
  return with_array(handle, [&](Context&, const Array&) {
    static_cast<void>(requirements);
    return CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult CUDAAPI cuMipmappedArrayCreate(CUmipmappedArray* handle, const CUDA_ARRAY3D_DESCRIPTOR* descriptor,
                                        unsigned int level_count) {
  return with_context([&](Context& context) {
    if (handle == nullptr || descriptor == nullptr || level_count == 0) return CUDA_ERROR_INVALID_VALUE;
    const CUDA_ARRAY3D_DESCRIPTOR& d = *descriptor;
    const bool planes = (d.Flags & (CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_CUBEMAP)) != 0;
    auto made = std::make_shared<MipmappedArray>();
    made->owner = &context;
    made->descriptor = d;
    // More levels than there can be are cut (CUDA driver API, cuMipmappedArrayCreate).
    const unsigned count = std::min(level_count, most_levels(d));
    for (unsigned level = 0; level < count; ++level) {
      CUDA_ARRAY3D_DESCRIPTOR one = d;
      one.Width = halved(d.Width, level);
      one.Height = halved(d.Height, level);
      if (!planes) one.Depth = halved(d.Depth, level);
      std::shared_ptr<Array> array;
      if (const CUresult error = Array::create(context, one, true, array); error != CUDA_SUCCESS) return error;
      made->levels.push_back(std::move(array));
    }
    if (made->levels.empty()) return CUDA_ERROR_INVALID_VALUE;
    for (const auto& level : made->levels) made->handles.push_back(driver().arrays.insert(level));
    *handle = driver().mipmapped_arrays.insert(std::move(made));
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuMipmappedArrayGetLevel(CUarray* level_handle, CUmipmappedArray handle, unsigned int level) {
  return with_mipmap(handle, [&](Context&, const MipmappedArray& array) {
    if (level_handle == nullptr || level >= array.handles.size()) return CUDA_ERROR_INVALID_VALUE;
    *level_handle = array.handles[level];
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuMipmappedArrayDestroy(CUmipmappedArray handle) {
  return with_mipmap(handle, [&](Context& context, const MipmappedArray&) {
    context.synchronize();
    const auto removed = driver().mipmapped_arrays.remove(handle);
    if (removed == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    for (const CUarray level : removed->handles) driver().arrays.remove(level);
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuMipmappedArrayGetSparseProperties(CUDA_ARRAY_SPARSE_PROPERTIES* properties,
                                                     CUmipmappedArray handle) {
  return with_mipmap(handle, [&](Context&, const MipmappedArray&) {
    static_cast<void>(properties);
    return CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult CUDAAPI cuMipmappedArrayGetMemoryRequirements(CUDA_ARRAY_MEMORY_REQUIREMENTS* requirements,
                                                       CUmipmappedArray handle, CUdevice) {
  return with_mipmap(handle, [&](Context&, const MipmappedArray&) {
    static_cast<void>(requirements);
    return CUDA_ERROR_INVALID_VALUE;
  });
}
