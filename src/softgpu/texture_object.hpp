#pragma once
#include <memory>

#include "softgpu/driver_api.hpp"
#include "softgpu/ptx/texture.hpp"

namespace vgpu::softgpu {

class Array;
class Context;
struct MipmappedArray;

/// A texture object: what kernels read, and the descriptions that made it. Immutable.
struct TextureObject {
  Context* owner = nullptr;
  CUDA_RESOURCE_DESC resource{};
  CUDA_TEXTURE_DESC description{};
  CUDA_RESOURCE_VIEW_DESC view{};
  bool has_view = false;
  ptx::Texture texture;

  Context& context() const noexcept { return *owner; }
};

/// The same for a surface.
struct SurfaceObject {
  Context* owner = nullptr;
  CUDA_RESOURCE_DESC resource{};
  ptx::Surface surface;

  Context& context() const noexcept { return *owner; }
};

/// cuda.h has numbers for these handles; the tables work on pointers.
using TextureHandle = struct TextureHandleTag*;
using SurfaceHandle = struct SurfaceHandleTag*;

/// The process's texture and surface objects, for kernels.
const ptx::ResourceTable& resource_table() noexcept;

}  // namespace vgpu::softgpu
