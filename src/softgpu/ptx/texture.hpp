#pragma once
#include <cstdint>
#include <memory>
#include <vector>

/// Textures and surfaces as kernels see them: what lies where, and how a fetch computes its value (CUDA C++ Programming
/// Guide, "Texture Fetching"). Who makes them hands a table to Launch.
namespace vgpu::softgpu {
class AddressMap;
}

namespace vgpu::softgpu::ptx {

enum class ChannelKind : std::uint8_t { unsigned_integer, signed_integer, floating };

/// What one texel holds.
struct TexelFormat {
  ChannelKind kind = ChannelKind::unsigned_integer;
  std::uint8_t channel_bytes = 4;  ///< 1, 2, 4
  std::uint8_t channels = 1;       ///< 1, 2, 4

  std::uint32_t bytes() const noexcept { return std::uint32_t{channel_bytes} * channels; }
};

/// Texels in rows and planes of this process's memory. A layered array has its layers as planes, a cube its faces.
struct Image {
  std::uint64_t address = 0;
  std::uint64_t pitch = 0;  ///< bytes from row to row
  std::uint64_t slice = 0;  ///< bytes from plane to plane
  std::uint32_t width = 0, height = 1, planes = 1;
};

enum class ImageShape : std::uint8_t { linear, d1, d2, d3, layered_1d, layered_2d, cube, layered_cube };

enum class AddressMode : std::uint8_t { wrap, clamp, mirror, border };

struct Texture {
  ImageShape shape = ImageShape::d2;
  TexelFormat format;
  std::vector<Image> levels;  ///< at least one
  AddressMode address[3] = {AddressMode::clamp, AddressMode::clamp, AddressMode::clamp};
  bool linear_filter = false;
  bool linear_between_levels = false;
  bool normalized_coordinates = false;
  bool read_as_integer = false;  ///< integers of 8 and 16 bits are not turned into floats of [0, 1] or [-1, 1]
  bool srgb = false;
  float border[4] = {};
  float level_bias = 0, lowest_level = 0, highest_level = 0;
};

struct Surface {
  ImageShape shape = ImageShape::d2;
  TexelFormat format;
  Image image;
};

/// The handles that a kernel may use. Calls come from any thread.
class ResourceTable {
 public:
  virtual ~ResourceTable() = default;
  /// Null for a handle that names none.
  virtual std::shared_ptr<const Texture> texture(std::uint64_t handle) const noexcept = 0;
  virtual std::shared_ptr<const Surface> surface(std::uint64_t handle) const noexcept = 0;
};

/// Where a fetch reads: the first `axes` of `at`, in texels or normalized as the texture says.
struct FetchPoint {
  float at[3] = {};
  std::int32_t texel[3] = {};  ///< in place of `at`, for integer coordinates
  bool integer = false;
  std::uint32_t layer = 0;
  float level = 0;
};

/// The four components of a fetch: floats as their bits, or integers. False if it would read memory that is not
/// allocated; `fault` is its address then.
bool fetch(const AddressMap& map, const Texture& texture, const FetchPoint& point, std::uint32_t (&out)[4],
           std::uint64_t& fault) noexcept;

/// One component of the four texels that a bilinear fetch would use, in the order of tld4 (PTX ISA, "tld4").
bool gather(const AddressMap& map, const Texture& texture, const FetchPoint& point, unsigned component,
            std::uint32_t (&out)[4], std::uint64_t& fault) noexcept;

/// The number of coordinates of a shape, its layer not counted.
constexpr unsigned axes_of(ImageShape shape) noexcept {
  switch (shape) {
    case ImageShape::linear:
    case ImageShape::d1:
    case ImageShape::layered_1d:
      return 1;
    case ImageShape::d2:
    case ImageShape::layered_2d:
      return 2;
    default:
      return 3;
  }
}

/// Writes a texel from 32-bit components, as a formatted store does: integers lose their upper bits.
void store_texel(const TexelFormat& format, std::byte* to, const std::uint32_t (&components)[4]) noexcept;

}  // namespace vgpu::softgpu::ptx
