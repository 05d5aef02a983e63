#include "softgpu/array.hpp"

#include <algorithm>

#include "softgpu/device_attributes.hpp"
#include "softgpu/driver.hpp"
#include "softgpu/log.hpp"

namespace vgpu::softgpu {
namespace {

constexpr std::uint64_t kPitchAlignment = 512;
constexpr unsigned kCarriedFlags = CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_SURFACE_LDST | CUDA_ARRAY3D_CUBEMAP |
                                   CUDA_ARRAY3D_TEXTURE_GATHER | CUDA_ARRAY3D_COLOR_ATTACHMENT;
constexpr unsigned kKnownFlags = kCarriedFlags | CUDA_ARRAY3D_DEPTH_TEXTURE | CUDA_ARRAY3D_SPARSE |
                                 CUDA_ARRAY3D_DEFERRED_MAPPING | CUDA_ARRAY3D_VIDEO_ENCODE_DECODE;

/// The shape, with the bounds of each (device attributes MAXIMUM_TEXTURE*).
CUresult shape_of(const CUDA_ARRAY3D_DESCRIPTOR& d, ptx::ImageShape& shape) noexcept {
  using namespace limits;
  const bool layered = (d.Flags & CUDA_ARRAY3D_LAYERED) != 0;
  const auto within = [&](std::size_t width, std::size_t height, std::size_t depth) {
    return d.Width <= width && d.Height <= height && d.Depth <= depth ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  };
  if (d.Width == 0) return CUDA_ERROR_INVALID_VALUE;
  if ((d.Flags & CUDA_ARRAY3D_CUBEMAP) != 0) {
    if (d.Width != d.Height || d.Depth == 0 || d.Depth % 6 != 0 || (!layered && d.Depth != 6)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    shape = layered ? ptx::ImageShape::layered_cube : ptx::ImageShape::cube;
    return within(kCubeWidth, kCubeWidth, kCubeLayers);
  }
  if (layered) {
    if (d.Depth == 0) return CUDA_ERROR_INVALID_VALUE;
    shape = d.Height == 0 ? ptx::ImageShape::layered_1d : ptx::ImageShape::layered_2d;
    return within(kLayeredWidth, kLayeredWidth, kLayers);
  }
  if (d.Depth != 0) {
    if (d.Height == 0) return CUDA_ERROR_INVALID_VALUE;
    shape = ptx::ImageShape::d3;
    return within(kTexture3d, kTexture3d, kTexture3d);
  }
  shape = d.Height == 0 ? ptx::ImageShape::d1 : ptx::ImageShape::d2;
  return within(kTexture2dWidth, kTexture2dHeight, 0);
}

}  // namespace

bool texel_format(CUarray_format format, unsigned channels, ptx::TexelFormat& out) noexcept {
  if (channels != 1 && channels != 2 && channels != 4) return false;
  out.channels = static_cast<std::uint8_t>(channels);
  const auto is = [&](ptx::ChannelKind kind, std::uint8_t bytes) {
    out.kind = kind;
    out.channel_bytes = bytes;
    return true;
  };
  switch (format) {
    case CU_AD_FORMAT_UNSIGNED_INT8:
      return is(ptx::ChannelKind::unsigned_integer, 1);
    case CU_AD_FORMAT_UNSIGNED_INT16:
      return is(ptx::ChannelKind::unsigned_integer, 2);
    case CU_AD_FORMAT_UNSIGNED_INT32:
      return is(ptx::ChannelKind::unsigned_integer, 4);
    case CU_AD_FORMAT_SIGNED_INT8:
      return is(ptx::ChannelKind::signed_integer, 1);
    case CU_AD_FORMAT_SIGNED_INT16:
      return is(ptx::ChannelKind::signed_integer, 2);
    case CU_AD_FORMAT_SIGNED_INT32:
      return is(ptx::ChannelKind::signed_integer, 4);
    case CU_AD_FORMAT_HALF:
      return is(ptx::ChannelKind::floating, 2);
    case CU_AD_FORMAT_FLOAT:
      return is(ptx::ChannelKind::floating, 4);
    default:
      return false;
  }
}

Array::Array(Context& context, const CUDA_ARRAY3D_DESCRIPTOR& descriptor, bool of_mipmap)
    : context_(context), descriptor_(descriptor), of_mipmap_(of_mipmap) {}

CUresult Array::create(Context& context, const CUDA_ARRAY3D_DESCRIPTOR& d, bool of_mipmap,
                       std::shared_ptr<Array>& array) {
  if ((d.Flags & ~kKnownFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
  if (d.NumChannels != 1 && d.NumChannels != 2 && d.NumChannels != 4) return CUDA_ERROR_INVALID_VALUE;
  std::shared_ptr<Array> made(new Array(context, d, of_mipmap));
  if (const CUresult error = shape_of(d, made->shape_); error != CUDA_SUCCESS) return error;
  if (!texel_format(d.Format, d.NumChannels, made->format_) || (d.Flags & ~kCarriedFlags) != 0) {
    log(LogLevel::error, "array refused reason=\"format or kind not supported\" format={:#x} flags={:#x}",
        static_cast<int>(d.Format), d.Flags);
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  ptx::Image& image = made->image_;
  image.width = static_cast<std::uint32_t>(d.Width);
  image.height = std::max<std::uint32_t>(1, static_cast<std::uint32_t>(d.Height));
  image.planes = std::max<std::uint32_t>(1, static_cast<std::uint32_t>(d.Depth));
  image.pitch =
      (std::uint64_t{image.width} * made->format_.bytes() + kPitchAlignment - 1) / kPitchAlignment * kPitchAlignment;
  image.slice = image.pitch * image.height;
  if (made->bytes() > AddressMap::kHeapBytes) return CUDA_ERROR_OUT_OF_MEMORY;
  image.address = allocate_device_memory(context, made->bytes(), MemoryKind::array);
  if (image.address == 0) return CUDA_ERROR_OUT_OF_MEMORY;
  made->allocation_ = driver().memory.find(image.address)->id;
  array = std::move(made);
  return CUDA_SUCCESS;
}

Array::~Array() {
  if (allocation_ == 0) return;
  Memory& memory = driver().memory;
  // The context's end may have freed it already.
  const auto taken = memory.take(image_.address, [&](const Allocation& it) { return it.id == allocation_; });
  if (taken) memory.dispose(*taken);
}

std::uint64_t Array::bytes() const noexcept { return image_.slice * image_.planes; }

CUresult Array::side(std::uint64_t x, std::uint64_t y, std::uint64_t z, const Extent& extent,
                     Side& side) const noexcept {
  const std::uint64_t texel = format_.bytes();
  const std::uint64_t row = texel * image_.width;
  const auto inside = [](std::uint64_t from, std::uint64_t count, std::uint64_t size) {
    return from <= size && count <= size - from;
  };
  if (x % texel != 0 || extent.width % texel != 0 || !inside(x, extent.width, row) ||
      !inside(y, extent.height, image_.height) || !inside(z, extent.depth, image_.planes)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  side.address = image_.address + z * image_.slice + y * image_.pitch + x;
  side.pitch = image_.pitch;
  side.slice = image_.slice;
  side.expect = Expect::device;
  return CUDA_SUCCESS;
}

}  // namespace vgpu::softgpu
