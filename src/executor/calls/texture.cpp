#include <bit>

#include "executor/dispatch.hpp"
#include "executor/enum_range.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

float number(FloatBits bits) noexcept { return std::bit_cast<float>(static_cast<u32>(bits)); }

CUresult read_resource(Invocation& in, const TextureResource& from, CUDA_RESOURCE_DESC& to) {
  to = {};
  to.flags = from.flags;
  CUarray_format format{};
  if (!to_enum<CU_AD_FORMAT_NV12>(from.format, format)) return CUDA_ERROR_INVALID_VALUE;
  switch (from.type) {
    case CU_RESOURCE_TYPE_ARRAY:
      to.resType = CU_RESOURCE_TYPE_ARRAY;
      to.res.array.hArray = in.session.handles.find<CUarray>(ArrayHandle{from.base});
      return to.res.array.hArray != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
    case CU_RESOURCE_TYPE_MIPMAPPED_ARRAY:
      to.resType = CU_RESOURCE_TYPE_MIPMAPPED_ARRAY;
      to.res.mipmap.hMipmappedArray = in.session.handles.find<CUmipmappedArray>(MipmappedArrayHandle{from.base});
      return to.res.mipmap.hMipmappedArray != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
    case CU_RESOURCE_TYPE_LINEAR:
      to.resType = CU_RESOURCE_TYPE_LINEAR;
      to.res.linear.devPtr = from.base;
      to.res.linear.format = format;
      to.res.linear.numChannels = from.channels;
      to.res.linear.sizeInBytes = from.width;
      return CUDA_SUCCESS;
    case CU_RESOURCE_TYPE_PITCH2D:
      to.resType = CU_RESOURCE_TYPE_PITCH2D;
      to.res.pitch2D.devPtr = from.base;
      to.res.pitch2D.format = format;
      to.res.pitch2D.numChannels = from.channels;
      to.res.pitch2D.width = from.width;
      to.res.pitch2D.height = from.height;
      to.res.pitch2D.pitchInBytes = from.pitch;
      return CUDA_SUCCESS;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

bool read_sampling(const TextureSampling& from, CUDA_TEXTURE_DESC& to) noexcept {
  to = {};
  for (unsigned i = 0; i < 3; ++i)
    if (!to_enum<CU_TR_ADDRESS_MODE_BORDER>(from.address_mode[i], to.addressMode[i])) return false;
  to.flags = from.flags;
  to.maxAnisotropy = from.max_anisotropy;
  to.mipmapLevelBias = number(from.level_bias);
  to.minMipmapLevelClamp = number(from.least_level);
  to.maxMipmapLevelClamp = number(from.greatest_level);
  for (unsigned i = 0; i < 4; ++i) to.borderColor[i] = std::bit_cast<float>(from.border[i]);
  return to_enum<CU_TR_FILTER_MODE_LINEAR>(from.filter, to.filterMode) &&
         to_enum<CU_TR_FILTER_MODE_LINEAR>(from.mipmap_filter, to.mipmapFilterMode);
}

bool read_view(const TextureView& from, CUDA_RESOURCE_VIEW_DESC& to) noexcept {
  to = {};
  to.width = from.width;
  to.height = from.height;
  to.depth = from.depth;
  to.firstMipmapLevel = from.first_level;
  to.lastMipmapLevel = from.last_level;
  to.firstLayer = from.first_layer;
  to.lastLayer = from.last_layer;
  return to_enum<CU_RES_VIEW_FORMAT_UNSIGNED_BC7>(from.format, to.format);
}

}  // namespace

VGPU_HANDLER(cuTexObjectCreate) {
  CUDA_RESOURCE_DESC resource;
  CUDA_TEXTURE_DESC sampling;
  CUDA_RESOURCE_VIEW_DESC view;
  CUresult result = read_resource(in, request.resource, resource);
  if (result != CUDA_SUCCESS) return result;
  if (!read_sampling(request.sampling, sampling) || !read_view(request.view, view)) return CUDA_ERROR_INVALID_VALUE;
  CUtexObject object = 0;
  result = in.cuda.cuTexObjectCreate(&object, &resource, &sampling, request.view.given != 0 ? &view : nullptr);
  if (result != CUDA_SUCCESS) return result;
  if (!in.session.textures.add(object)) {
    in.cuda.cuTexObjectDestroy(object);
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  reply.object = object;
  return CUDA_SUCCESS;
}

VGPU_HANDLER(cuTexObjectDestroy) {
  return in.session.textures.take(request.object) ? in.cuda.cuTexObjectDestroy(request.object)
                                                  : CUDA_ERROR_INVALID_VALUE;
}

VGPU_HANDLER(cuSurfObjectCreate) {
  CUDA_RESOURCE_DESC resource;
  CUresult result = read_resource(in, request.resource, resource);
  if (result != CUDA_SUCCESS) return result;
  CUsurfObject object = 0;
  result = in.cuda.cuSurfObjectCreate(&object, &resource);
  if (result != CUDA_SUCCESS) return result;
  if (!in.session.surfaces.add(object)) {
    in.cuda.cuSurfObjectDestroy(object);
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  reply.object = object;
  return CUDA_SUCCESS;
}

VGPU_HANDLER(cuSurfObjectDestroy) {
  return in.session.surfaces.take(request.object) ? in.cuda.cuSurfObjectDestroy(request.object)
                                                  : CUDA_ERROR_INVALID_VALUE;
}

VGPU_HANDLER(cuDeviceGetTexture1DLinearMaxWidth) {
  CUdevice device = 0;
  CUarray_format format{};
  if (!in.session.device(request.device, device)) return CUDA_ERROR_INVALID_DEVICE;
  if (!to_enum<CU_AD_FORMAT_NV12>(request.format, format)) return CUDA_ERROR_INVALID_VALUE;
  std::size_t texels = 0;
  const CUresult result = in.cuda.cuDeviceGetTexture1DLinearMaxWidth(&texels, format, request.channels, device);
  reply.texels = texels;
  return result;
}

}  // namespace vgpu::executor
