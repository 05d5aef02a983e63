// Texture and surface objects: made by the host's driver, described here.
#include "shim/texture.hpp"

#include <bit>

#include "shim/context.hpp"

using namespace vgpu::shim;

namespace {

using vgpu::protocol::FloatBits;
using vgpu::protocol::TextureResource;
using vgpu::protocol::TextureSampling;
using vgpu::protocol::TextureView;

FloatBits bits(float value) noexcept { return FloatBits{std::bit_cast<u32>(value)}; }

CUresult read_resource(const CUDA_RESOURCE_DESC& from, TextureResource& to) {
  to = {};
  to.type = static_cast<u32>(from.resType);
  to.flags = from.flags;
  switch (from.resType) {
    case CU_RESOURCE_TYPE_ARRAY:
      to.base = reinterpret_cast<u64>(from.res.array.hArray);
      return state().arrays.find(to.base) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
    case CU_RESOURCE_TYPE_MIPMAPPED_ARRAY:
      to.base = reinterpret_cast<u64>(from.res.mipmap.hMipmappedArray);
      return state().mipmapped_arrays.find(to.base) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
    case CU_RESOURCE_TYPE_LINEAR:
      to.base = from.res.linear.devPtr;
      to.format = static_cast<u32>(from.res.linear.format);
      to.channels = from.res.linear.numChannels;
      to.width = from.res.linear.sizeInBytes;
      return CUDA_SUCCESS;
    case CU_RESOURCE_TYPE_PITCH2D:
      to.base = from.res.pitch2D.devPtr;
      to.format = static_cast<u32>(from.res.pitch2D.format);
      to.channels = from.res.pitch2D.numChannels;
      to.width = from.res.pitch2D.width;
      to.height = from.res.pitch2D.height;
      to.pitch = from.res.pitch2D.pitchInBytes;
      return CUDA_SUCCESS;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

TextureSampling sampling_of(const CUDA_TEXTURE_DESC& from) noexcept {
  TextureSampling to{};
  for (unsigned i = 0; i < 3; ++i) to.address_mode[i] = static_cast<u32>(from.addressMode[i]);
  to.filter = static_cast<u32>(from.filterMode);
  to.flags = from.flags;
  to.max_anisotropy = from.maxAnisotropy;
  to.mipmap_filter = static_cast<u32>(from.mipmapFilterMode);
  to.level_bias = bits(from.mipmapLevelBias);
  to.least_level = bits(from.minMipmapLevelClamp);
  to.greatest_level = bits(from.maxMipmapLevelClamp);
  for (unsigned i = 0; i < 4; ++i) to.border[i] = std::bit_cast<u32>(from.borderColor[i]);
  return to;
}

TextureView view_of(const CUDA_RESOURCE_VIEW_DESC* from) noexcept {
  if (!from) return {};
  return {from->width,
          from->height,
          from->depth,
          static_cast<u32>(from->format),
          from->firstMipmapLevel,
          from->lastMipmapLevel,
          from->firstLayer,
          from->lastLayer,
          1};
}

u32 index_of(u64 context) noexcept { return vgpu::protocol::ContextHandle{context}.index(); }

template <typename F>
CUresult with_texture(CUtexObject number, F&& f) noexcept {
  return with_context([&](Context&) -> CUresult {
    const auto object = state().textures.find(number);
    return object ? f(*object) : CUDA_ERROR_INVALID_VALUE;
  });
}

}  // namespace

CUresult cuTexObjectCreate(CUtexObject* out, const CUDA_RESOURCE_DESC* resource, const CUDA_TEXTURE_DESC* sampling,
                           const CUDA_RESOURCE_VIEW_DESC* view) {
  return with_context([&](Context& context) -> CUresult {
    if (!out || !resource || !sampling) return CUDA_ERROR_INVALID_VALUE;
    call::cuTexObjectCreate::Request request{};
    CUresult result = read_resource(*resource, request.resource);
    if (result != CUDA_SUCCESS) return result;
    request.sampling = sampling_of(*sampling);
    request.view = view_of(view);
    call::cuTexObjectCreate::Reply reply{};
    result = ask<call::cuTexObjectCreate>(context.index(), request, &reply);
    if (result != CUDA_SUCCESS) return result;
    TextureObject object{context.handle, *resource, *sampling, std::nullopt};
    if (view) object.view = *view;
    state().textures.add(reply.object, object);
    *out = reply.object;
    return CUDA_SUCCESS;
  });
}

CUresult cuTexObjectDestroy(CUtexObject number) {
  return with_context([&](Context&) -> CUresult {
    const auto object = state().textures.take(number);
    if (!object) return CUDA_ERROR_INVALID_VALUE;
    return ask<call::cuTexObjectDestroy>(index_of(object->context), {number});
  });
}

CUresult cuTexObjectGetResourceDesc(CUDA_RESOURCE_DESC* resource, CUtexObject number) {
  return with_texture(number, [&](const TextureObject& object) {
    if (!resource) return CUDA_ERROR_INVALID_VALUE;
    *resource = object.resource;
    return CUDA_SUCCESS;
  });
}

CUresult cuTexObjectGetTextureDesc(CUDA_TEXTURE_DESC* sampling, CUtexObject number) {
  return with_texture(number, [&](const TextureObject& object) {
    if (!sampling) return CUDA_ERROR_INVALID_VALUE;
    *sampling = object.sampling;
    return CUDA_SUCCESS;
  });
}

CUresult cuTexObjectGetResourceViewDesc(CUDA_RESOURCE_VIEW_DESC* view, CUtexObject number) {
  return with_texture(number, [&](const TextureObject& object) {
    if (!view || !object.view) return CUDA_ERROR_INVALID_VALUE;
    *view = *object.view;
    return CUDA_SUCCESS;
  });
}

CUresult cuSurfObjectCreate(CUsurfObject* out, const CUDA_RESOURCE_DESC* resource) {
  return with_context([&](Context& context) -> CUresult {
    if (!out || !resource || resource->resType != CU_RESOURCE_TYPE_ARRAY) return CUDA_ERROR_INVALID_VALUE;
    call::cuSurfObjectCreate::Request request{};
    CUresult result = read_resource(*resource, request.resource);
    if (result != CUDA_SUCCESS) return result;
    call::cuSurfObjectCreate::Reply reply{};
    result = ask<call::cuSurfObjectCreate>(context.index(), request, &reply);
    if (result != CUDA_SUCCESS) return result;
    state().surfaces.add(reply.object, {context.handle, *resource});
    *out = reply.object;
    return CUDA_SUCCESS;
  });
}

CUresult cuSurfObjectDestroy(CUsurfObject number) {
  return with_context([&](Context&) -> CUresult {
    const auto object = state().surfaces.take(number);
    if (!object) return CUDA_ERROR_INVALID_VALUE;
    return ask<call::cuSurfObjectDestroy>(index_of(object->context), {number});
  });
}

CUresult cuSurfObjectGetResourceDesc(CUDA_RESOURCE_DESC* resource, CUsurfObject number) {
  return with_context([&](Context&) -> CUresult {
    const auto object = state().surfaces.find(number);
    if (!object || !resource) return CUDA_ERROR_INVALID_VALUE;
    *resource = object->resource;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetTexture1DLinearMaxWidth(size_t* texels, CUarray_format format, unsigned channels,
                                            CUdevice ordinal) {
  return with_device(ordinal, [&](Device&) -> CUresult {
    if (!texels) return CUDA_ERROR_INVALID_VALUE;
    call::cuDeviceGetTexture1DLinearMaxWidth::Reply reply{};
    const CUresult result = ask<call::cuDeviceGetTexture1DLinearMaxWidth>(
        any_context_index(), {ordinal, static_cast<u32>(format), channels, 0}, &reply);
    if (result == CUDA_SUCCESS) *texels = reply.texels;
    return result;
  });
}
