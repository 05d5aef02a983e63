#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "softgpu/copy.hpp"
#include "softgpu/driver_api.hpp"
#include "softgpu/ptx/texture.hpp"

namespace vgpu::softgpu {

class Context;

/// A CUDA array: rows and planes of texels in device memory, whose layout only this driver knows. Immutable. Its memory
/// goes back when the last user lets go; it is not accessible any more when its context ends.
class Array {
 public:
  /// Checks a description and takes zeroed memory for it. CUDA_ERROR_INVALID_VALUE; CUDA_ERROR_NOT_SUPPORTED, with a
  /// log line, for formats and kinds that are not carried; CUDA_ERROR_OUT_OF_MEMORY.
  static CUresult create(Context& context, const CUDA_ARRAY3D_DESCRIPTOR& descriptor, bool of_mipmap,
                         std::shared_ptr<Array>& array);
  ~Array();
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  Context& context() const noexcept { return context_; }
  const CUDA_ARRAY3D_DESCRIPTOR& descriptor() const noexcept { return descriptor_; }
  const ptx::Image& image() const noexcept { return image_; }
  ptx::ImageShape shape() const noexcept { return shape_; }
  const ptx::TexelFormat& format() const noexcept { return format_; }
  /// Belongs to a mipmapped array, which destroys it.
  bool of_mipmap() const noexcept { return of_mipmap_; }
  std::uint64_t bytes() const noexcept;

  /// The side of a copy that begins at byte x of row y of plane z. CUDA_ERROR_INVALID_VALUE if it goes beyond the
  /// array or cuts a texel.
  CUresult side(std::uint64_t x, std::uint64_t y, std::uint64_t z, const Extent& extent, Side& side) const noexcept;

 private:
  Array(Context& context, const CUDA_ARRAY3D_DESCRIPTOR& descriptor, bool of_mipmap);

  Context& context_;
  CUDA_ARRAY3D_DESCRIPTOR descriptor_;
  ptx::Image image_;
  ptx::ImageShape shape_ = ptx::ImageShape::d1;
  ptx::TexelFormat format_;
  std::uint64_t allocation_ = 0;
  const bool of_mipmap_;
};

/// An array of levels, each half as large as the one before.
struct MipmappedArray {
  Context* owner = nullptr;
  CUDA_ARRAY3D_DESCRIPTOR descriptor{};
  std::vector<CUarray> handles;
  std::vector<std::shared_ptr<Array>> levels;

  Context& context() const noexcept { return *owner; }
};

/// What a texel of a CUDA format and a number of channels is; false if it is not carried.
bool texel_format(CUarray_format format, unsigned channels, ptx::TexelFormat& out) noexcept;

}  // namespace vgpu::softgpu
