#include <algorithm>
#include <cmath>

#include "softgpu/ptx/half.hpp"
#include "softgpu/ptx/image_access.hpp"

/// tex, tld4 and txq in the unified mode, in which one handle names texture and sampler (PTX ISA, "Texture
/// Instructions").
namespace vgpu::softgpu::ptx {
namespace {

std::shared_ptr<const Texture> find_texture(const ResourceTable& table, u64 handle) noexcept {
  return table.texture(handle);
}

/// The level that gradients ask for: of the longer of both, in texels of the first level.
float level_of_gradient(const Warp& w, const ImageAccess& access, const Texture& texture, u32 lane) noexcept {
  const unsigned axes = std::min(axes_of(access.shape), 3u);
  const Image& image = texture.levels[0];
  const u32 size[3] = {image.width, image.height, image.planes};
  float longest = 0;
  for (unsigned direction = 0; direction < 2; ++direction) {
    float square = 0;
    for (unsigned a = 0; a < axes; ++a) {
      float step = get<float>(slots<float>(w, access.level[direction * axes + a])[lane]);
      if (texture.normalized_coordinates) step *= static_cast<float>(size[a]);
      square += step * step;
    }
    longest = std::max(longest, square);
  }
  return longest > 0 ? 0.5f * std::log2(longest) : 0.0f;
}

/// The shape of the instruction must be that of the texture; an array of one dimension may be read as linear memory
/// and the other way round.
bool fits(ImageShape wanted, ImageShape have) noexcept {
  if (wanted == ImageShape::d1) return have == ImageShape::d1 || have == ImageShape::linear;
  return wanted == have;
}

FetchPoint point_of(const Warp& w, const ImageAccess& access, const Texture& texture, u32 lane) noexcept {
  FetchPoint point;
  point.integer = access.integer;
  for (unsigned a = 0; a < 3; ++a) {
    if (access.coordinates[a] == kNoRef) continue;
    const u32 bits = slots<u32>(w, access.coordinates[a])[lane];
    if (access.integer) {
      point.texel[a] = static_cast<s32>(bits);
    } else {
      point.at[a] = std::bit_cast<float>(bits);
    }
  }
  if (access.layer != kNoRef) point.layer = slots<u32>(w, access.layer)[lane];
  if (access.levels == ImageAccess::Levels::level) {
    const u32 bits = slots<u32>(w, access.level[0])[lane];
    point.level = access.integer ? static_cast<float>(static_cast<s32>(bits)) : std::bit_cast<float>(bits);
  } else if (access.levels == ImageAccess::Levels::gradient) {
    point.level = level_of_gradient(w, access, texture, lane);
  }
  return point;
}

template <bool Gather>
void fetch_lanes(Warp& w, const Insn& in, u32 mask) {
  const ImageAccess& access = image_access(in);
  const AddressMap& map = *w.block->grid->launch->memory;
  set_predicate(w, access.resident, mask, mask);
  each_image(w, access, mask, find_texture, [&](u32 lane, const Texture& texture) {
    if (!fits(access.shape, texture.shape)) {
      w.raise(Fault::illegal_address, lane, slots<u64>(w, access.handle)[lane], "a texture of another shape");
      return false;
    }
    u32 values[4] = {};
    u64 fault = 0;
    const FetchPoint point = point_of(w, access, texture, lane);
    const bool good = Gather ? gather(map, texture, point, access.component, values, fault)
                             : fetch(map, texture, point, values, fault);
    if (!good) {
      w.raise(Fault::illegal_address, lane, fault, "a texel that is not allocated");
      return false;
    }
    if (access.type == Type::f16x2) {
      for (unsigned k = 0; k < 2; ++k) {
        const u32 low = to_half(static_cast<double>(std::bit_cast<float>(values[2 * k]))).bits;
        const u32 high = to_half(static_cast<double>(std::bit_cast<float>(values[2 * k + 1]))).bits;
        values[k] = low | high << 16;
      }
    } else if (access.type == Type::f16) {
      for (u32& value : values) value = to_half(static_cast<double>(std::bit_cast<float>(value))).bits;
    }
    for (unsigned k = 0; k < access.count; ++k) slots<u32>(w, access.values[k])[lane] = values[k];
    return true;
  });
}

/// The level of a query of one level; 0 without.
u32 level_of_query(const Warp& w, const ImageAccess& access, const Texture& texture, u32 lane) noexcept {
  if (access.levels != ImageAccess::Levels::level) return 0;
  return std::min(slots<u32>(w, access.level[0])[lane], static_cast<u32>(texture.levels.size() - 1));
}

enum class Query : u8 { width, height, depth, layers, levels, samples, normalized };

bool is_layered(ImageShape shape) noexcept {
  return shape == ImageShape::layered_1d || shape == ImageShape::layered_2d || shape == ImageShape::layered_cube;
}
u32 layers_of(ImageShape shape, const Image& image) noexcept {
  if (!is_layered(shape)) return 0;
  return shape == ImageShape::layered_cube ? image.planes / 6 : image.planes;
}

u32 query_image(Query query, ImageShape shape, const Image& image) noexcept {
  switch (query) {
    case Query::width:
      return image.width;
    case Query::height:
      return image.height;
    case Query::depth:
      return shape == ImageShape::d3 ? image.planes : 0;
    case Query::layers:
      return layers_of(shape, image);
    default:
      return 1;
  }
}

template <Query Q>
void query_texture(Warp& w, const Insn& in, u32 mask) {
  const ImageAccess& access = image_access(in);
  each_image(w, access, mask, find_texture, [&](u32 lane, const Texture& texture) {
    u32 value = 0;
    if constexpr (Q == Query::levels) {
      value = static_cast<u32>(texture.levels.size());
    } else if constexpr (Q == Query::normalized) {
      value = texture.normalized_coordinates ? 1 : 0;
    } else {
      value = query_image(Q, texture.shape, texture.levels[level_of_query(w, access, texture, lane)]);
    }
    slots<u32>(w, access.values[0])[lane] = value;
    return true;
  });
}

template <Query Q>
void query_surface(Warp& w, const Insn& in, u32 mask) {
  const ImageAccess& access = image_access(in);
  each_image(
      w, access, mask, [](const ResourceTable& table, u64 handle) noexcept { return table.surface(handle); },
      [&](u32 lane, const Surface& surface) {
        slots<u32>(w, access.values[0])[lane] = query_image(Q, surface.shape, surface.image);
        return true;
      });
}

void take_results(Builder& b, const ast::Operand& operand, ImageAccess& access) {
  const bool vector = operand.kind == ast::Operand::Kind::vector;
  b.need(vector ? operand.items.size() == access.count : access.count == 1, "expected a vector of that many registers");
  for (unsigned k = 0; k < access.count; ++k) {
    access.values[k] = b.write(vector ? operand.items[k] : operand, access.type);
  }
  if (!operand.second.empty()) access.resident = b.write_predicate(operand.second);
}

void decode_fetch(Builder& b, Words& w, bool gathers) {
  const auto& in = w.instruction();
  ImageAccess access;
  if (gathers) {
    static constexpr std::string_view kComponents[] = {"r", "g", "b", "a"};
    bool found = false;
    for (unsigned c = 0; c < 4; ++c) {
      if (w.take(kComponents[c])) {
        access.component = c;
        found = true;
        break;
      }
    }
    b.need(found, "expected a component");
  } else {
    if (w.take("level")) access.levels = ImageAccess::Levels::level;
    if (w.take("grad")) access.levels = ImageAccess::Levels::gradient;
    w.take("base");
  }
  take_shape(b, w, access);
  b.need(!gathers || access.shape == ImageShape::d2 || access.shape == ImageShape::layered_2d,
         "a gather of this shape is not carried");
  access.count = w.take("v4") ? 4 : w.take("v2") ? 2 : 1;
  access.type = w.take_type();
  const Type coordinate = w.take_type();
  b.need(access.type == Type::f32 || access.type == Type::s32 || access.type == Type::u32 || access.type == Type::f16 ||
             access.type == Type::f16x2,
         "a texture can't give this type");
  b.need(access.type != Type::f16x2 || access.count <= 2, "expected a vector of two");
  b.need(coordinate == Type::f32 || (coordinate == Type::s32 && !gathers), "coordinates can't have this type");
  access.integer = coordinate == Type::s32;
  b.need(!access.integer || (access.shape != ImageShape::cube && access.shape != ImageShape::layered_cube),
         "coordinates can't have this type");
  const bool leveled = access.levels != ImageAccess::Levels::none;
  const std::size_t plain = access.levels == ImageAccess::Levels::gradient ? 4 : leveled ? 3 : 2;
  b.need(in.operands.size() == plain, "this form of a fetch is not carried");
  take_image_operand(b, in.operands[1], access, false);
  if (access.levels == ImageAccess::Levels::level) access.level[0] = b.read(in.operands[2], coordinate);
  if (access.levels == ImageAccess::Levels::gradient) {
    b.need(!access.integer, "gradients need coordinates of type f32");
    const unsigned axes = axes_of(access.shape);
    for (unsigned direction = 0; direction < 2; ++direction) {
      const ast::Operand& gradient = in.operands[2 + direction];
      const bool vector = gradient.kind == ast::Operand::Kind::vector;
      b.need(vector ? gradient.items.size() >= axes : axes == 1, "expected a vector of gradients");
      for (unsigned a = 0; a < axes; ++a) {
        access.level[direction * axes + a] = b.read(vector ? gradient.items[a] : gradient, Type::f32);
      }
    }
  }
  take_results(b, in.operands[0], access);
  emit_image(b, gathers ? fetch_lanes<true> : fetch_lanes<false>, access);
}

void decode_query(Builder& b, Words& w, bool surface) {
  const auto& in = w.instruction();
  ImageAccess access;
  if (!surface && w.take("level")) access.levels = ImageAccess::Levels::level;
  Handler run = nullptr;
  if (w.take("width")) {
    run = surface ? query_surface<Query::width> : query_texture<Query::width>;
  } else if (w.take("height")) {
    run = surface ? query_surface<Query::height> : query_texture<Query::height>;
  } else if (w.take("depth")) {
    run = surface ? query_surface<Query::depth> : query_texture<Query::depth>;
  } else if (w.take("array_size")) {
    run = surface ? query_surface<Query::layers> : query_texture<Query::layers>;
  } else if (!surface && w.take("num_mipmap_levels")) {
    run = query_texture<Query::levels>;
  } else if (!surface && w.take("num_samples")) {
    run = query_texture<Query::samples>;
  } else if (!surface && w.take("normalized_coords")) {
    run = query_texture<Query::normalized>;
  } else {
    b.refuse("the query '." + std::string(w.left()) + "' is not carried");
  }
  access.type = w.take_type();
  b.need(access.type == Type::b32, "a query gives 32 bits");
  const bool leveled = access.levels == ImageAccess::Levels::level;
  b.need_operands(leveled ? 3 : 2);
  const ast::Operand& where = in.operands[1];
  b.need(where.kind == ast::Operand::Kind::address && where.items.empty() && where.value == 0,
         "expected a texture or surface");
  take_image_operand(b, where, access, surface);
  if (leveled) access.level[0] = b.read(in.operands[2], Type::u32);
  access.count = 1;
  access.values[0] = b.write(in.operands[0], Type::b32);
  emit_image(b, run, access);
}

}  // namespace

void take_shape(Builder& b, Words& w, ImageAccess& access) {
  static constexpr std::pair<std::string_view, ImageShape> kShapes[] = {{"1d", ImageShape::d1},
                                                                        {"2d", ImageShape::d2},
                                                                        {"3d", ImageShape::d3},
                                                                        {"a1d", ImageShape::layered_1d},
                                                                        {"a2d", ImageShape::layered_2d},
                                                                        {"cube", ImageShape::cube},
                                                                        {"acube", ImageShape::layered_cube}};
  for (const auto& [word, shape] : kShapes) {
    if (!w.take(word)) continue;
    access.shape = shape;
    return;
  }
  b.refuse("images of this shape are not carried");
}

void take_image_operand(Builder& b, const ast::Operand& operand, ImageAccess& access, bool surface) {
  b.need(operand.kind == ast::Operand::Kind::address && !operand.name.empty() && operand.value == 0,
         "expected a texture or surface");
  ast::Operand handle;
  handle.name = operand.name;
  handle.place = operand.place;
  b.need(b.register_type(handle) != Type::none && bytes_of(b.register_type(handle)) == 8,
         "texture and surface references are not carried, objects are");
  access.handle = b.read(handle, Type::b64);
  if (operand.items.empty()) return;  // a query
  b.need(operand.items.size() == 1, "separate samplers are not carried");
  const ast::Operand& list = operand.items[0];
  const bool vector = list.kind == ast::Operand::Kind::vector;
  const auto item = [&](std::size_t i) -> const ast::Operand& {
    b.need(vector ? i < list.items.size() : i == 0, "too few coordinates");
    return vector ? list.items[i] : list;
  };
  std::size_t at = 0;
  const ImageShape shape = access.shape;
  if (shape == ImageShape::layered_1d || shape == ImageShape::layered_2d || shape == ImageShape::layered_cube) {
    access.layer = b.read(item(at++), Type::u32);
  }
  const Type type = access.integer || surface ? Type::s32 : Type::f32;
  for (unsigned a = 0; a < axes_of(shape); ++a) access.coordinates[a] = b.read(item(at++), type);
}

void emit_image(Builder& b, Handler run, ImageAccess access) {
  auto& held = b.out().images.emplace_back(std::make_shared<ImageAccess>(access));
  Insn& in =
      b.emit(run, access.values[0], access.handle, access.coordinates[0], access.coordinates[1], access.coordinates[2]);
  in.imm = reinterpret_cast<u64>(held.get());
}

bool decode_texture(Builder& b, Words& w) {
  const std::string_view op = w.instruction().opcode;
  if (op == "tex" || op == "tld4") return decode_fetch(b, w, op == "tld4"), true;
  if (op == "txq" || op == "suq") return decode_query(b, w, op == "suq"), true;
  return false;
}

}  // namespace vgpu::softgpu::ptx
