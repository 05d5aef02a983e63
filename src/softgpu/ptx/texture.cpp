#include "softgpu/ptx/texture.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "softgpu/address_map.hpp"
#include "softgpu/ptx/half.hpp"

namespace vgpu::softgpu::ptx {
namespace {

constexpr std::int64_t kOutside = -1;

/// Coordinates beyond this are far outside of every image: keeps the conversion to integers defined.
float bounded(float value) noexcept {
  constexpr float kBound = 1073741824.0f;
  if (!(value == value)) return 0;
  return std::clamp(value, -kBound, kBound);
}

/// The texel that an index means along an axis of n texels, or kOutside.
std::int64_t place(std::int64_t index, std::int64_t n, AddressMode mode) noexcept {
  switch (mode) {
    case AddressMode::clamp:
      return std::clamp<std::int64_t>(index, 0, n - 1);
    case AddressMode::border:
      return index < 0 || index >= n ? kOutside : index;
    case AddressMode::wrap:
      return (index % n + n) % n;
    case AddressMode::mirror: {
      const std::int64_t in_pair = (index % (2 * n) + 2 * n) % (2 * n);
      return in_pair < n ? in_pair : 2 * n - 1 - in_pair;
    }
  }
  return kOutside;
}

float from_srgb(float c) noexcept { return c <= 0.04045f ? c / 12.92f : std::pow((c + 0.055f) / 1.055f, 2.4f); }

/// Texels of one level of a texture.
class Level {
 public:
  Level(const AddressMap& map, const Texture& texture, const Image& image, std::uint64_t& fault)
      : map_(map), texture_(texture), image_(image), fault_(fault) {}

  /// True if the components are floats, by format or by the normalized read mode.
  static bool gives_floats(const Texture& t) noexcept {
    return t.format.kind == ChannelKind::floating || (!t.read_as_integer && t.format.channel_bytes < 4);
  }

  /// A texel after its indices were placed; kOutside in any of them gives the border.
  bool read(std::int64_t x, std::int64_t y, std::int64_t z, std::uint32_t (&out)[4]) noexcept {
    if (x == kOutside || y == kOutside || z == kOutside) {
      for (unsigned c = 0; c < 4; ++c) {
        const float value = texture_.border[c];
        out[c] = gives_floats(texture_) ? std::bit_cast<std::uint32_t>(value)
                                        : static_cast<std::uint32_t>(static_cast<std::int64_t>(
                                              std::clamp(value, -2147483648.0f, 4294967040.0f)));
      }
      return true;
    }
    const TexelFormat& format = texture_.format;
    const std::uint64_t at = image_.address + static_cast<std::uint64_t>(z) * image_.slice +
                             static_cast<std::uint64_t>(y) * image_.pitch +
                             static_cast<std::uint64_t>(x) * format.bytes();
    if (!map_.contains(at, format.bytes())) {
      fault_ = at;
      return false;
    }
    const auto* from =
        reinterpret_cast<const std::byte*>(at);  // NOLINT: device addresses are addresses of this process
    const bool floats = gives_floats(texture_);
    // A component that the format lacks is 0, the last one 1.
    out[1] = out[2] = 0;
    out[3] = floats ? std::bit_cast<std::uint32_t>(1.0f) : 1u;
    for (unsigned c = 0; c < format.channels; ++c) out[c] = component(from + c * format.channel_bytes, floats, c);
    return true;
  }

 private:
  std::uint32_t component(const std::byte* from, bool floats, unsigned index) const noexcept {
    const TexelFormat& format = texture_.format;
    std::uint32_t raw = 0;
    std::memcpy(&raw, from, format.channel_bytes);
    if (format.kind == ChannelKind::floating) {
      if (format.channel_bytes == 2)
        return std::bit_cast<std::uint32_t>(to_float(Half{static_cast<std::uint16_t>(raw)}));
      return raw;
    }
    const unsigned shift = 32 - 8u * format.channel_bytes;
    if (format.kind == ChannelKind::signed_integer) {
      const std::int32_t value = static_cast<std::int32_t>(raw << shift) >> shift;
      if (!floats) return static_cast<std::uint32_t>(value);
      const float most = format.channel_bytes == 1 ? 127.0f : 32767.0f;
      return std::bit_cast<std::uint32_t>(std::max(static_cast<float>(value) / most, -1.0f));
    }
    if (!floats) return raw;
    float value = static_cast<float>(raw) / (format.channel_bytes == 1 ? 255.0f : 65535.0f);
    if (texture_.srgb && format.channel_bytes == 1 && index < 3) value = from_srgb(value);
    return std::bit_cast<std::uint32_t>(value);
  }

  const AddressMap& map_;
  const Texture& texture_;
  const Image& image_;
  std::uint64_t& fault_;
};

/// A point in the planes of one image: coordinates in texels, and the plane of layers and faces.
struct Located {
  float at[3] = {};
  unsigned axes = 0;
  std::int64_t plane = 0;  ///< unless the third axis chooses it
  std::int64_t size[3] = {};
  AddressMode mode[3] = {};
};

/// The face of a cube that a direction hits, and where (CUDA C++ Programming Guide, "Cubemap Textures").
unsigned cube_face(const float (&direction)[3], float& s, float& t) noexcept {
  const float x = direction[0];
  const float y = direction[1];
  const float z = direction[2];
  const float ax = std::fabs(x);
  const float ay = std::fabs(y);
  const float az = std::fabs(z);
  unsigned face = 0;
  float m = 0;
  float u = 0;
  float v = 0;
  if (ax >= ay && ax >= az) {
    face = x >= 0 ? 0 : 1;
    m = ax;
    u = x >= 0 ? -z : z;
    v = -y;
  } else if (ay >= az) {
    face = y >= 0 ? 2 : 3;
    m = ay;
    u = x;
    v = y >= 0 ? z : -z;
  } else {
    face = z >= 0 ? 4 : 5;
    m = az;
    u = z >= 0 ? x : -x;
    v = -y;
  }
  s = (u / m + 1) / 2;
  t = (v / m + 1) / 2;
  return face;
}

Located locate(const Texture& texture, const Image& image, const FetchPoint& point) noexcept {
  Located out;
  out.axes = axes_of(texture.shape);
  const auto layer = [&](std::int64_t layers) {
    // Layers are chosen by an unsigned integer that is clamped.
    return std::min<std::int64_t>(point.layer, layers - 1);
  };
  out.size[0] = image.width;
  out.size[1] = image.height;
  out.size[2] = image.planes;
  bool normalized = texture.normalized_coordinates && !point.integer;
  for (unsigned a = 0; a < 3; ++a) {
    out.at[a] = point.integer ? static_cast<float>(point.texel[a]) : point.at[a];
    out.mode[a] = texture.address[a];
    // These two are defined for normalized coordinates only.
    if (!texture.normalized_coordinates && (out.mode[a] == AddressMode::wrap || out.mode[a] == AddressMode::mirror)) {
      out.mode[a] = AddressMode::clamp;
    }
  }
  if (texture.shape == ImageShape::layered_1d || texture.shape == ImageShape::layered_2d)
    out.plane = layer(image.planes);
  if (texture.shape == ImageShape::cube || texture.shape == ImageShape::layered_cube) {
    float s = 0;
    float t = 0;
    const unsigned face = cube_face(point.at, s, t);
    out.plane = (texture.shape == ImageShape::cube ? 0 : layer(image.planes / 6) * 6) + face;
    out.axes = 2;
    out.at[0] = s;
    out.at[1] = t;
    out.mode[0] = out.mode[1] = AddressMode::clamp;
    normalized = true;
  }
  for (unsigned a = 0; a < out.axes; ++a) {
    if (normalized) out.at[a] *= static_cast<float>(out.size[a]);
    out.at[a] = bounded(out.at[a]);
  }
  return out;
}

bool fetch_nearest(Level& level, const Located& where, const FetchPoint& point, std::uint32_t (&out)[4]) noexcept {
  std::int64_t index[3] = {0, 0, where.plane};
  for (unsigned a = 0; a < where.axes; ++a) {
    const auto texel =
        point.integer ? std::int64_t{point.texel[a]} : static_cast<std::int64_t>(std::floor(where.at[a]));
    index[a] = place(texel, where.size[a], where.mode[a]);
  }
  return level.read(index[0], index[1], index[2], out);
}

/// Weights have 9 bits, 8 of them behind the point (CUDA C++ Programming Guide, "Linear Filtering").
float weight(float fraction) noexcept { return std::floor(fraction * 256.0f + 0.5f) / 256.0f; }

bool fetch_linear(Level& level, const Located& where, std::uint32_t (&out)[4]) noexcept {
  std::int64_t first[3] = {};
  float high[3] = {};
  for (unsigned a = 0; a < where.axes; ++a) {
    const float shifted = where.at[a] - 0.5f;
    const float floor = std::floor(shifted);
    first[a] = static_cast<std::int64_t>(floor);
    high[a] = weight(shifted - floor);
  }
  float sum[4] = {};
  for (unsigned corner = 0; corner < 1u << where.axes; ++corner) {
    std::int64_t index[3] = {0, 0, where.plane};
    float share = 1;
    for (unsigned a = 0; a < where.axes; ++a) {
      const unsigned up = corner >> a & 1;
      share *= up != 0 ? high[a] : 1 - high[a];
      index[a] = place(first[a] + up, where.size[a], where.mode[a]);
    }
    if (share == 0) continue;
    std::uint32_t texel[4] = {};
    if (!level.read(index[0], index[1], index[2], texel)) return false;
    for (unsigned c = 0; c < 4; ++c) sum[c] += share * std::bit_cast<float>(texel[c]);
  }
  for (unsigned c = 0; c < 4; ++c) out[c] = std::bit_cast<std::uint32_t>(sum[c]);
  return true;
}

bool fetch_level(const AddressMap& map, const Texture& texture, std::size_t index, const FetchPoint& point,
                 std::uint32_t (&out)[4], std::uint64_t& fault) noexcept {
  const Image& image = texture.levels[index];
  Level level(map, texture, image, fault);
  if (texture.shape == ImageShape::linear) {
    // Outside of linear memory a fetch gives 0; there is no filter and no address mode.
    const std::int64_t x =
        point.integer ? std::int64_t{point.texel[0]} : static_cast<std::int64_t>(std::floor(bounded(point.at[0])));
    if (x < 0 || x >= image.width) {
      std::fill(std::begin(out), std::end(out), 0u);
      return true;
    }
    return level.read(x, 0, 0, out);
  }
  const Located where = locate(texture, image, point);
  if (texture.linear_filter && !point.integer && Level::gives_floats(texture)) return fetch_linear(level, where, out);
  return fetch_nearest(level, where, point, out);
}

}  // namespace

bool fetch(const AddressMap& map, const Texture& texture, const FetchPoint& point, std::uint32_t (&out)[4],
           std::uint64_t& fault) noexcept {
  if (texture.levels.size() == 1) return fetch_level(map, texture, 0, point, out, fault);
  const auto top = static_cast<float>(texture.levels.size() - 1);
  float level = bounded(point.level + (point.integer ? 0 : texture.level_bias));
  if (!point.integer) level = std::max(std::min(level, texture.highest_level), texture.lowest_level);
  level = std::clamp(level, 0.0f, top);
  if (!texture.linear_between_levels || point.integer || !Level::gives_floats(texture)) {
    return fetch_level(map, texture, static_cast<std::size_t>(std::floor(level + 0.5f)), point, out, fault);
  }
  const auto low = static_cast<std::size_t>(level);
  const float share = weight(level - std::floor(level));
  if (!fetch_level(map, texture, low, point, out, fault)) return false;
  if (share == 0 || low + 1 >= texture.levels.size()) return true;
  std::uint32_t next[4] = {};
  if (!fetch_level(map, texture, low + 1, point, next, fault)) return false;
  for (unsigned c = 0; c < 4; ++c) {
    const float mixed = (1 - share) * std::bit_cast<float>(out[c]) + share * std::bit_cast<float>(next[c]);
    out[c] = std::bit_cast<std::uint32_t>(mixed);
  }
  return true;
}

bool gather(const AddressMap& map, const Texture& texture, const FetchPoint& point, unsigned component,
            std::uint32_t (&out)[4], std::uint64_t& fault) noexcept {
  const Image& image = texture.levels[0];
  Level level(map, texture, image, fault);
  const Located where = locate(texture, image, point);
  std::int64_t first[2] = {};
  for (unsigned a = 0; a < 2; ++a) first[a] = static_cast<std::int64_t>(std::floor(where.at[a] - 0.5f));
  static constexpr unsigned kOrder[4][2] = {{0, 1}, {1, 1}, {1, 0}, {0, 0}};
  for (unsigned i = 0; i < 4; ++i) {
    std::uint32_t texel[4] = {};
    const std::int64_t x = place(first[0] + kOrder[i][0], where.size[0], where.mode[0]);
    const std::int64_t y = place(first[1] + kOrder[i][1], where.size[1], where.mode[1]);
    if (!level.read(x, y, where.plane, texel)) return false;
    out[i] = texel[component];
  }
  return true;
}

void store_texel(const TexelFormat& format, std::byte* to, const std::uint32_t (&components)[4]) noexcept {
  for (unsigned c = 0; c < format.channels; ++c) {
    std::uint32_t raw = components[c];
    if (format.kind == ChannelKind::floating && format.channel_bytes == 2) {
      raw = to_half(static_cast<double>(std::bit_cast<float>(raw))).bits;
    }
    std::memcpy(to + c * format.channel_bytes, &raw, format.channel_bytes);
  }
}

}  // namespace vgpu::softgpu::ptx
