// Arrays and mipmapped arrays.
#include "shim/array.hpp"

#include <algorithm>

#include "shim/context.hpp"
#include "shim/refuse_as.hpp"

namespace vgpu::shim {

using protocol::ArrayShape;

u32 texel_bytes(const ArrayShape& shape) noexcept {
  switch (shape.format) {
    case CU_AD_FORMAT_UNSIGNED_INT8:
    case CU_AD_FORMAT_SIGNED_INT8:
      return shape.channels;
    case CU_AD_FORMAT_UNSIGNED_INT16:
    case CU_AD_FORMAT_SIGNED_INT16:
    case CU_AD_FORMAT_HALF:
      return 2 * shape.channels;
    case CU_AD_FORMAT_UNSIGNED_INT32:
    case CU_AD_FORMAT_SIGNED_INT32:
    case CU_AD_FORMAT_FLOAT:
      return 4 * shape.channels;
    default:
      return 0;
  }
}

bool within(const ArrayShape& shape, const ArrayOrigin& origin, const protocol::CopyExtent& extent) noexcept {
  const u32 texel = texel_bytes(shape);
  if (texel == 0) return true;
  const auto fits = [](u64 from, u64 length, u64 whole) { return from <= whole && length <= whole - from; };
  return origin.x % texel == 0 && extent.width % texel == 0 && fits(origin.x, extent.width, shape.width * texel) &&
         fits(origin.y, extent.height, std::max<u64>(shape.height, 1)) &&
         fits(origin.z, extent.depth, std::max<u64>(shape.depth, 1));
}

void release_arrays(const Context& context) {
  State& s = state();
  const auto owned = [&](auto& table) {
    std::vector<u64> handles;
    table.for_each([&](auto handle, auto& object) {
      if (object.context == context.handle) handles.push_back(handle.value);
    });
    return handles;
  };
  for (const u64 texture : s.textures.take_context(context.handle))
    ask<call::cuTexObjectDestroy>(context.index(), {texture});
  for (const u64 surface : s.surfaces.take_context(context.handle))
    ask<call::cuSurfObjectDestroy>(context.index(), {surface});
  for (const u64 mipmapped : owned(s.mipmapped_arrays)) {
    ask<call::cuMipmappedArrayDestroy>(context.index(), {{mipmapped}});
    s.mipmapped_arrays.release(mipmapped);
  }
  for (const u64 array : owned(s.arrays)) {
    if (s.arrays.find(array)->owner == 0) ask<call::cuArrayDestroy>(context.index(), {{array}});
    s.arrays.release(array);
  }
}

}  // namespace vgpu::shim

using namespace vgpu::shim;

namespace {

using vgpu::protocol::ArrayShape;

/// Arrays whose memory is mapped later, which the device attributes say are not carried, and those of other interfaces.
constexpr unsigned kNotCarried = CUDA_ARRAY3D_SPARSE | CUDA_ARRAY3D_DEFERRED_MAPPING | CUDA_ARRAY3D_VIDEO_ENCODE_DECODE;

ArrayShape shape_of(const CUDA_ARRAY3D_DESCRIPTOR& d) noexcept {
  return {d.Width, d.Height, d.Depth, static_cast<u32>(d.Format), d.NumChannels, d.Flags, 0};
}

CUDA_ARRAY3D_DESCRIPTOR descriptor_of(const ArrayShape& shape) noexcept {
  return {shape.width,    shape.height, shape.depth, static_cast<CUarray_format>(shape.format),
          shape.channels, shape.flags};
}

u32 index_of(u64 context) noexcept { return vgpu::protocol::ContextHandle{context}.index(); }

template <typename F>
CUresult with_array(CUarray array, F&& f) noexcept {
  return with_context([&](Context&) -> CUresult {
    const u64 handle = reinterpret_cast<u64>(array);
    Array* found = state().arrays.find(handle);
    return found ? f(*found, vgpu::protocol::ArrayHandle{handle}) : CUDA_ERROR_INVALID_HANDLE;
  });
}

template <typename F>
CUresult with_mipmapped(CUmipmappedArray array, F&& f) noexcept {
  return with_context([&](Context&) -> CUresult {
    const u64 handle = reinterpret_cast<u64>(array);
    MipmappedArray* found = state().mipmapped_arrays.find(handle);
    return found ? f(*found, vgpu::protocol::MipmappedArrayHandle{handle}) : CUDA_ERROR_INVALID_HANDLE;
  });
}

CUresult create(CUarray* out, const ArrayShape& shape) noexcept {
  return with_context([&](Context& context) -> CUresult {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    if ((shape.flags & kNotCarried) != 0) return refuse_as("cuArray3DCreate_v2", "a sparse array");
    auto& arrays = state().arrays;
    const auto minted = arrays.mint();
    if (!minted.object) return CUDA_ERROR_OUT_OF_MEMORY;
    minted.object->context = context.handle;
    minted.object->shape = shape;
    const CUresult result = ask<call::cuArray3DCreate>(context.index(), {minted.handle, shape});
    if (result == CUDA_SUCCESS)
      *out = reinterpret_cast<CUarray>(minted.handle.value);
    else
      arrays.release(minted.handle.value);
    return result;
  });
}

/// The array that is part `number` of another: asked for once, then known. Ask is the call that names it.
template <typename Call, typename Owner, typename HandleType>
CUresult part(CUarray* out, Owner& owner, HandleType handle, unsigned number) {
  if (!out) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(owner.mutex);
  const auto [known, fresh] = owner.parts.try_emplace(number, 0);
  if (!fresh) {
    *out = reinterpret_cast<CUarray>(known->second);
    return CUDA_SUCCESS;
  }
  auto& arrays = state().arrays;
  const auto minted = arrays.mint();
  typename Call::Reply reply{};
  const CUresult result = minted.object ? ask<Call>(index_of(owner.context), {handle, minted.handle, number, 0}, &reply)
                                        : CUDA_ERROR_OUT_OF_MEMORY;
  if (result != CUDA_SUCCESS) {
    owner.parts.erase(known);
    if (minted.object) arrays.release(minted.handle.value);
    return result;
  }
  minted.object->context = owner.context;
  minted.object->owner = handle.value;
  minted.object->shape = reply.shape;
  known->second = minted.handle.value;
  *out = reinterpret_cast<CUarray>(minted.handle.value);
  return CUDA_SUCCESS;
}

template <typename Owner>
void release_parts(Owner& owner) {
  std::lock_guard lock(owner.mutex);
  for (const auto& [number, handle] : owner.parts) state().arrays.release(handle);
}

}  // namespace

CUresult cuArrayCreate(CUarray* out, const CUDA_ARRAY_DESCRIPTOR* d) {
  if (!d) return with_context([](Context&) { return CUDA_ERROR_INVALID_VALUE; });
  return create(out, {d->Width, d->Height, 0, static_cast<u32>(d->Format), d->NumChannels, 0, 0});
}

CUresult cuArray3DCreate(CUarray* out, const CUDA_ARRAY3D_DESCRIPTOR* descriptor) {
  if (!descriptor) return with_context([](Context&) { return CUDA_ERROR_INVALID_VALUE; });
  return create(out, shape_of(*descriptor));
}

CUresult cuArrayGetDescriptor(CUDA_ARRAY_DESCRIPTOR* descriptor, CUarray array) {
  return with_array(array, [&](const Array& found, auto) {
    if (!descriptor) return CUDA_ERROR_INVALID_VALUE;
    const CUDA_ARRAY3D_DESCRIPTOR whole = descriptor_of(found.shape);
    *descriptor = {whole.Width, whole.Height, whole.Format, whole.NumChannels};
    return CUDA_SUCCESS;
  });
}

CUresult cuArray3DGetDescriptor(CUDA_ARRAY3D_DESCRIPTOR* descriptor, CUarray array) {
  return with_array(array, [&](const Array& found, auto) {
    if (!descriptor) return CUDA_ERROR_INVALID_VALUE;
    *descriptor = descriptor_of(found.shape);
    return CUDA_SUCCESS;
  });
}

CUresult cuArrayDestroy(CUarray array) {
  return with_array(array, [](Array& found, auto handle) -> CUresult {
    if (found.owner != 0) return CUDA_ERROR_INVALID_HANDLE;
    const CUresult result = ask<call::cuArrayDestroy>(index_of(found.context), {handle});
    release_parts(found);
    state().arrays.release(handle.value);
    return result;
  });
}

CUresult cuArrayGetPlane(CUarray* plane, CUarray array, unsigned int number) {
  return with_array(
      array, [&](Array& found, auto handle) { return part<call::cuArrayGetPlane>(plane, found, handle, number); });
}

// No array is sparse, and none has its memory mapped later: only such have these properties.
CUresult cuArrayGetSparseProperties(CUDA_ARRAY_SPARSE_PROPERTIES*, CUarray array) {
  return with_array(array, [](const Array&, auto) { return CUDA_ERROR_INVALID_VALUE; });
}

CUresult cuArrayGetMemoryRequirements(CUDA_ARRAY_MEMORY_REQUIREMENTS*, CUarray array, CUdevice) {
  return with_array(array, [](const Array&, auto) { return CUDA_ERROR_INVALID_VALUE; });
}

CUresult cuMipmappedArrayGetSparseProperties(CUDA_ARRAY_SPARSE_PROPERTIES*, CUmipmappedArray array) {
  return with_mipmapped(array, [](const MipmappedArray&, auto) { return CUDA_ERROR_INVALID_VALUE; });
}

CUresult cuMipmappedArrayGetMemoryRequirements(CUDA_ARRAY_MEMORY_REQUIREMENTS*, CUmipmappedArray array, CUdevice) {
  return with_mipmapped(array, [](const MipmappedArray&, auto) { return CUDA_ERROR_INVALID_VALUE; });
}

CUresult cuMipmappedArrayCreate(CUmipmappedArray* out, const CUDA_ARRAY3D_DESCRIPTOR* descriptor, unsigned int levels) {
  return with_context([&](Context& context) -> CUresult {
    if (!out || !descriptor || levels == 0) return CUDA_ERROR_INVALID_VALUE;
    if ((descriptor->Flags & kNotCarried) != 0) return refuse_as("cuMipmappedArrayCreate", "a sparse array");
    auto& arrays = state().mipmapped_arrays;
    const auto minted = arrays.mint();
    if (!minted.object) return CUDA_ERROR_OUT_OF_MEMORY;
    minted.object->context = context.handle;
    const CUresult result =
        ask<call::cuMipmappedArrayCreate>(context.index(), {minted.handle, shape_of(*descriptor), levels, 0});
    if (result == CUDA_SUCCESS)
      *out = reinterpret_cast<CUmipmappedArray>(minted.handle.value);
    else
      arrays.release(minted.handle.value);
    return result;
  });
}

CUresult cuMipmappedArrayGetLevel(CUarray* level, CUmipmappedArray array, unsigned int number) {
  return with_mipmapped(array, [&](MipmappedArray& found, auto handle) {
    return part<call::cuMipmappedArrayGetLevel>(level, found, handle, number);
  });
}

CUresult cuMipmappedArrayDestroy(CUmipmappedArray array) {
  return with_mipmapped(array, [](MipmappedArray& found, auto handle) -> CUresult {
    const CUresult result = ask<call::cuMipmappedArrayDestroy>(index_of(found.context), {handle});
    release_parts(found);
    state().mipmapped_arrays.release(handle.value);
    return result;
  });
}
