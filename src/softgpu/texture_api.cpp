#include <algorithm>

#include "softgpu/array.hpp"
#include "softgpu/device_attributes.hpp"
#include "softgpu/guard.hpp"
#include "softgpu/log.hpp"
#include "softgpu/texture_object.hpp"

/// Texture and surface objects.
using namespace vgpu::softgpu;

namespace {

class Resources final : public ptx::ResourceTable {
 public:
  std::shared_ptr<const ptx::Texture> texture(std::uint64_t handle) const noexcept override {
    const auto object = driver().textures.find(reinterpret_cast<TextureHandle>(handle));
    return object == nullptr ? nullptr : std::shared_ptr<const ptx::Texture>(object, &object->texture);
  }
  std::shared_ptr<const ptx::Surface> surface(std::uint64_t handle) const noexcept override {
    const auto object = driver().surfaces.find(reinterpret_cast<SurfaceHandle>(handle));
    return object == nullptr ? nullptr : std::shared_ptr<const ptx::Surface>(object, &object->surface);
  }
};

CUresult refuse(const char* what) {
  log(LogLevel::error, "texture object refused reason=\"{} not supported\"", what);
  return CUDA_ERROR_NOT_SUPPORTED;
}

void take_array(const Array& array, ptx::Texture& texture) {
  texture.shape = array.shape();
  texture.format = array.format();
  texture.levels.push_back(array.image());
}

CUresult take_linear(const CUDA_RESOURCE_DESC& resource, ptx::Texture& texture) {
  const auto& linear = resource.res.linear;
  if (!texel_format(linear.format, linear.numChannels, texture.format)) return CUDA_ERROR_INVALID_VALUE;
  const std::uint64_t texels = linear.sizeInBytes / texture.format.bytes();
  if (linear.devPtr == 0 || texels == 0 || texels > limits::kTextureLinear) return CUDA_ERROR_INVALID_VALUE;
  if (linear.devPtr % limits::kTextureAlignment != 0) return CUDA_ERROR_INVALID_VALUE;
  if (!driver().memory.map().contains(linear.devPtr, linear.sizeInBytes)) return CUDA_ERROR_INVALID_VALUE;
  texture.shape = ptx::ImageShape::linear;
  texture.levels.push_back({linear.devPtr, linear.sizeInBytes, linear.sizeInBytes, static_cast<std::uint32_t>(texels)});
  return CUDA_SUCCESS;
}

CUresult take_pitched(const CUDA_RESOURCE_DESC& resource, ptx::Texture& texture) {
  const auto& pitched = resource.res.pitch2D;
  if (!texel_format(pitched.format, pitched.numChannels, texture.format)) return CUDA_ERROR_INVALID_VALUE;
  if (pitched.devPtr == 0 || pitched.width == 0 || pitched.height == 0) return CUDA_ERROR_INVALID_VALUE;
  if (pitched.width > limits::kTexture2dLinearWidth || pitched.height > limits::kTexture2dLinearHeight ||
      pitched.pitchInBytes > limits::kTexture2dLinearPitch) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const std::uint64_t row = pitched.width * texture.format.bytes();
  if (pitched.devPtr % limits::kTextureAlignment != 0 || pitched.pitchInBytes % limits::kTexturePitchAlignment != 0 ||
      pitched.pitchInBytes < row) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const std::uint64_t bytes = (pitched.height - 1) * pitched.pitchInBytes + row;
  if (!driver().memory.map().contains(pitched.devPtr, bytes)) return CUDA_ERROR_INVALID_VALUE;
  texture.shape = ptx::ImageShape::d2;
  texture.levels.push_back({pitched.devPtr, pitched.pitchInBytes, pitched.pitchInBytes * pitched.height,
                            static_cast<std::uint32_t>(pitched.width), static_cast<std::uint32_t>(pitched.height)});
  return CUDA_SUCCESS;
}

CUresult take_resource(const CUDA_RESOURCE_DESC& resource, ptx::Texture& texture) {
  if (resource.flags != 0) return CUDA_ERROR_INVALID_VALUE;
  switch (resource.resType) {
    case CU_RESOURCE_TYPE_ARRAY: {
      const auto array = driver().arrays.find(resource.res.array.hArray);
      if (array == nullptr) return CUDA_ERROR_INVALID_HANDLE;
      take_array(*array, texture);
      return CUDA_SUCCESS;
    }
    case CU_RESOURCE_TYPE_MIPMAPPED_ARRAY: {
      const auto array = driver().mipmapped_arrays.find(resource.res.mipmap.hMipmappedArray);
      if (array == nullptr) return CUDA_ERROR_INVALID_HANDLE;
      for (const auto& level : array->levels) take_array(*level, texture);
      return CUDA_SUCCESS;
    }
    case CU_RESOURCE_TYPE_LINEAR:
      return take_linear(resource, texture);
    case CU_RESOURCE_TYPE_PITCH2D:
      return take_pitched(resource, texture);
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

/// A view that only says again what the resource is, or picks levels of it.
CUresult take_view(const CUDA_RESOURCE_VIEW_DESC& view, ptx::Texture& texture) {
  const ptx::Image& first = texture.levels.front();
  const auto levels = static_cast<unsigned>(texture.levels.size());
  if (view.firstMipmapLevel > view.lastMipmapLevel || view.lastMipmapLevel >= levels) return CUDA_ERROR_INVALID_VALUE;
  if (view.format != CU_RES_VIEW_FORMAT_NONE) return refuse("a resource view of another format");
  const bool whole_layers = view.firstLayer == 0 && (view.lastLayer == 0 || view.lastLayer + 1 == first.planes);
  if (!whole_layers) return refuse("a resource view of some layers");
  if (view.width != first.width || std::max<std::size_t>(1, view.height) != first.height) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  texture.levels.erase(texture.levels.begin() + view.lastMipmapLevel + 1, texture.levels.end());
  texture.levels.erase(texture.levels.begin(), texture.levels.begin() + view.firstMipmapLevel);
  return CUDA_SUCCESS;
}

CUresult take_description(const CUDA_TEXTURE_DESC& d, ptx::Texture& texture) {
  constexpr unsigned kFlags = CU_TRSF_READ_AS_INTEGER | CU_TRSF_NORMALIZED_COORDINATES | CU_TRSF_SRGB |
                              CU_TRSF_DISABLE_TRILINEAR_OPTIMIZATION | CU_TRSF_SEAMLESS_CUBEMAP;
  if ((d.flags & ~kFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
  if ((d.flags & CU_TRSF_SEAMLESS_CUBEMAP) != 0) return refuse("filtering across the faces of a cube");
  for (unsigned a = 0; a < 3; ++a) {
    switch (d.addressMode[a]) {
      case CU_TR_ADDRESS_MODE_WRAP:
        texture.address[a] = ptx::AddressMode::wrap;
        break;
      case CU_TR_ADDRESS_MODE_CLAMP:
        texture.address[a] = ptx::AddressMode::clamp;
        break;
      case CU_TR_ADDRESS_MODE_MIRROR:
        texture.address[a] = ptx::AddressMode::mirror;
        break;
      case CU_TR_ADDRESS_MODE_BORDER:
        texture.address[a] = ptx::AddressMode::border;
        break;
      default:
        return CUDA_ERROR_INVALID_VALUE;
    }
  }
  const auto is_filter = [](CUfilter_mode mode) {
    return mode == CU_TR_FILTER_MODE_POINT || mode == CU_TR_FILTER_MODE_LINEAR;
  };
  if (!is_filter(d.filterMode) || !is_filter(d.mipmapFilterMode)) return CUDA_ERROR_INVALID_VALUE;
  texture.linear_filter = d.filterMode == CU_TR_FILTER_MODE_LINEAR;
  texture.linear_between_levels = d.mipmapFilterMode == CU_TR_FILTER_MODE_LINEAR;
  texture.read_as_integer = (d.flags & CU_TRSF_READ_AS_INTEGER) != 0;
  texture.normalized_coordinates = (d.flags & CU_TRSF_NORMALIZED_COORDINATES) != 0;
  texture.srgb = (d.flags & CU_TRSF_SRGB) != 0;
  const bool integers = texture.format.kind != ptx::ChannelKind::floating &&
                        (texture.read_as_integer || texture.format.channel_bytes == 4);
  // There is nothing between two integers.
  if (integers && texture.linear_filter) return CUDA_ERROR_INVALID_VALUE;
  // Levels are of sizes that only normalized coordinates have in common.
  if (texture.levels.size() > 1 && !texture.normalized_coordinates) return CUDA_ERROR_INVALID_VALUE;
  std::copy(std::begin(d.borderColor), std::end(d.borderColor), std::begin(texture.border));
  texture.level_bias = d.mipmapLevelBias;
  texture.lowest_level = d.minMipmapLevelClamp;
  texture.highest_level = d.maxMipmapLevelClamp;
  return CUDA_SUCCESS;
}

template <class Then>
CUresult with_texture(CUtexObject handle, Then&& then) {
  return with_context([&](Context&) {
    const auto object = driver().textures.find(reinterpret_cast<TextureHandle>(handle));
    return object == nullptr ? CUDA_ERROR_INVALID_VALUE : static_cast<CUresult>(then(*object));
  });
}

}  // namespace

const ptx::ResourceTable& vgpu::softgpu::resource_table() noexcept {
  static const Resources table;
  return table;
}

CUresult CUDAAPI cuTexObjectCreate(CUtexObject* handle, const CUDA_RESOURCE_DESC* resource,
                                   const CUDA_TEXTURE_DESC* description, const CUDA_RESOURCE_VIEW_DESC* view) {
  return with_context([&](Context& context) {
    if (handle == nullptr || resource == nullptr || description == nullptr) return CUDA_ERROR_INVALID_VALUE;
    auto object = std::make_shared<TextureObject>();
    object->owner = &context;
    object->resource = *resource;
    object->description = *description;
    ptx::Texture& texture = object->texture;
    if (const CUresult error = take_resource(*resource, texture); error != CUDA_SUCCESS) return error;
    if (view != nullptr) {
      object->view = *view;
      object->has_view = true;
      if (const CUresult error = take_view(*view, texture); error != CUDA_SUCCESS) return error;
    }
    if (const CUresult error = take_description(*description, texture); error != CUDA_SUCCESS) return error;
    *handle = reinterpret_cast<CUtexObject>(driver().textures.insert(std::move(object)));
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuTexObjectDestroy(CUtexObject handle) {
  return with_context([&](Context& context) {
    context.synchronize();  // kernels on their way may still use it
    const auto removed = driver().textures.remove(reinterpret_cast<TextureHandle>(handle));
    return removed != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult CUDAAPI cuTexObjectGetResourceDesc(CUDA_RESOURCE_DESC* resource, CUtexObject handle) {
  return with_texture(handle, [&](const TextureObject& object) {
    if (resource == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *resource = object.resource;
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuTexObjectGetTextureDesc(CUDA_TEXTURE_DESC* description, CUtexObject handle) {
  return with_texture(handle, [&](const TextureObject& object) {
    if (description == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *description = object.description;
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuTexObjectGetResourceViewDesc(CUDA_RESOURCE_VIEW_DESC* view, CUtexObject handle) {
  return with_texture(handle, [&](const TextureObject& object) {
    if (view == nullptr || !object.has_view) return CUDA_ERROR_INVALID_VALUE;
    *view = object.view;
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuSurfObjectCreate(CUsurfObject* handle, const CUDA_RESOURCE_DESC* resource) {
  return with_context([&](Context& context) {
    if (handle == nullptr || resource == nullptr || resource->resType != CU_RESOURCE_TYPE_ARRAY) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto array = driver().arrays.find(resource->res.array.hArray);
    if (array == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if ((array->descriptor().Flags & CUDA_ARRAY3D_SURFACE_LDST) == 0) return CUDA_ERROR_INVALID_VALUE;
    auto object = std::make_shared<SurfaceObject>();
    object->owner = &context;
    object->resource = *resource;
    object->surface = {array->shape(), array->format(), array->image()};
    *handle = reinterpret_cast<CUsurfObject>(driver().surfaces.insert(std::move(object)));
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuSurfObjectDestroy(CUsurfObject handle) {
  return with_context([&](Context& context) {
    context.synchronize();
    const auto removed = driver().surfaces.remove(reinterpret_cast<SurfaceHandle>(handle));
    return removed != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult CUDAAPI cuSurfObjectGetResourceDesc(CUDA_RESOURCE_DESC* resource, CUsurfObject handle) {
  return with_context([&](Context&) {
    const auto object = driver().surfaces.find(reinterpret_cast<SurfaceHandle>(handle));
    if (resource == nullptr || object == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *resource = object->resource;
    return CUDA_SUCCESS;
  });
}
