#include <algorithm>
#include <cstring>

#include "softgpu/ptx/image_access.hpp"

/// suld, sust and sured on surface objects (PTX ISA, "Surface Instructions").
namespace vgpu::softgpu::ptx {
namespace {

std::shared_ptr<const Surface> find_surface(const ResourceTable& table, u64 handle) noexcept {
  return table.surface(handle);
}

/// What kernels call a cube's surface: layers of two dimensions.
bool fits(ImageShape wanted, ImageShape have) noexcept {
  if (wanted == ImageShape::layered_2d) {
    return have == ImageShape::layered_2d || have == ImageShape::cube || have == ImageShape::layered_cube;
  }
  return wanted == have;
}

/// Where a lane's access lies. Null with `drop`: outside, and nothing is to be done; null without: a fault was raised.
/// x counts units of `unit` bytes.
std::byte* locate_texel(Warp& w, const ImageAccess& access, const Surface& surface, u32 lane, u32 unit, u32 bytes,
                        bool& drop) {
  drop = false;
  if (!fits(access.shape, surface.shape)) {
    w.raise(Fault::illegal_address, lane, slots<u64>(w, access.handle)[lane], "a surface of another shape");
    return nullptr;
  }
  const Image& image = surface.image;
  const auto coordinate = [&](unsigned a) -> s64 {
    return access.coordinates[a] == kNoRef ? 0 : static_cast<s32>(slots<u32>(w, access.coordinates[a])[lane]);
  };
  const u64 row = u64{image.width} * surface.format.bytes();
  s64 x = coordinate(0) * unit;
  s64 y = coordinate(1);
  s64 z = coordinate(2);
  if (access.layer != kNoRef) z = slots<u32>(w, access.layer)[lane];
  const s64 last_x = static_cast<s64>(row) - bytes;
  const s64 last_y = s64{std::max(image.height, 1u)} - 1;
  const s64 last_z = s64{std::max(image.planes, 1u)} - 1;
  const bool outside = x < 0 || x > last_x || y < 0 || y > last_y || z < 0 || z > last_z;
  if (outside) {
    switch (access.boundary) {
      case ImageAccess::Boundary::trap:
        w.raise(Fault::illegal_address, lane, image.address, "an access outside of a surface");
        return nullptr;
      case ImageAccess::Boundary::zero:
        drop = true;
        return nullptr;
      case ImageAccess::Boundary::clamp:
        if (last_x < 0) {
          drop = true;
          return nullptr;
        }
        x = std::clamp<s64>(x, 0, last_x);
        y = std::clamp<s64>(y, 0, last_y);
        z = std::clamp<s64>(z, 0, last_z);
        break;
    }
  }
  const u64 at =
      image.address + static_cast<u64>(z) * image.slice + static_cast<u64>(y) * image.pitch + static_cast<u64>(x);
  if (at % bytes != 0 && unit == 1) {
    w.raise(Fault::misaligned_address, lane, at, "a misaligned surface access");
    return nullptr;
  }
  if (!w.block->grid->launch->memory->contains(at, bytes)) {
    w.raise(Fault::illegal_address, lane, at, "a surface that is not allocated");
    return nullptr;
  }
  return reinterpret_cast<std::byte*>(at);  // NOLINT: device addresses are addresses of this process
}

void put_value(const Warp& w, const ImageAccess& access, unsigned k, u32 lane, u64 value) noexcept {
  if (access.element_bytes == 8) {
    slots<u64>(w, access.values[k])[lane] = value;
  } else {
    slots<u32>(w, access.values[k])[lane] = static_cast<u32>(value);
  }
}

void load_bytes(Warp& w, const Insn& in, u32 mask) {
  const ImageAccess& access = image_access(in);
  const u32 bytes = access.element_bytes * access.count;
  each_image(w, access, mask, find_surface, [&](u32 lane, const Surface& surface) {
    bool drop = false;
    const std::byte* from = locate_texel(w, access, surface, lane, 1, bytes, drop);
    if (from == nullptr && !drop) return false;
    for (unsigned k = 0; k < access.count; ++k) {
      u64 value = 0;
      if (from != nullptr) std::memcpy(&value, from + k * access.element_bytes, access.element_bytes);
      put_value(w, access, k, lane, value);
    }
    return true;
  });
}

void store_bytes(Warp& w, const Insn& in, u32 mask) {
  const ImageAccess& access = image_access(in);
  const u32 bytes = access.element_bytes * access.count;
  each_image(w, access, mask, find_surface, [&](u32 lane, const Surface& surface) {
    bool drop = false;
    std::byte* to = locate_texel(w, access, surface, lane, 1, bytes, drop);
    if (to == nullptr) return drop;
    for (unsigned k = 0; k < access.count; ++k) {
      const u64 value =
          access.element_bytes == 8 ? slots<u64>(w, access.values[k])[lane] : slots<u32>(w, access.values[k])[lane];
      std::memcpy(to + k * access.element_bytes, &value, access.element_bytes);
    }
    return true;
  });
}

void store_formatted(Warp& w, const Insn& in, u32 mask) {
  const ImageAccess& access = image_access(in);
  each_image(w, access, mask, find_surface, [&](u32 lane, const Surface& surface) {
    bool drop = false;
    const u32 bytes = surface.format.bytes();
    std::byte* to = locate_texel(w, access, surface, lane, bytes, bytes, drop);
    if (to == nullptr) return drop;
    u32 components[4] = {};
    for (unsigned k = 0; k < access.count; ++k) components[k] = slots<u32>(w, access.values[k])[lane];
    store_texel(surface.format, to, components);
    return true;
  });
}

enum class Reduction : u8 { add, min, max, bit_and, bit_or };

template <class T, Reduction R>
void reduce(Warp& w, const Insn& in, u32 mask) {
  const ImageAccess& access = image_access(in);
  using U = std::make_unsigned_t<T>;
  // sured.p counts texels, sured.b bytes.
  const u32 unit = (in.flags & 1) != 0 ? u32{sizeof(T)} : 1u;
  each_image(w, access, mask, find_surface, [&](u32 lane, const Surface& surface) {
    bool drop = false;
    std::byte* at = locate_texel(w, access, surface, lane, unit, sizeof(T), drop);
    if (at == nullptr) return drop;
    const auto operand = static_cast<T>(slots<T>(w, access.values[0])[lane]);
    auto* word = reinterpret_cast<U*>(at);
    U old = __atomic_load_n(word, __ATOMIC_RELAXED);
    U fresh = 0;
    do {
      const T have = static_cast<T>(old);
      switch (R) {
        case Reduction::add:
          fresh = static_cast<U>(old + static_cast<U>(operand));
          break;
        case Reduction::min:
          fresh = static_cast<U>(std::min(have, operand));
          break;
        case Reduction::max:
          fresh = static_cast<U>(std::max(have, operand));
          break;
        case Reduction::bit_and:
          fresh = old & static_cast<U>(operand);
          break;
        case Reduction::bit_or:
          fresh = old | static_cast<U>(operand);
          break;
      }
    } while (!__atomic_compare_exchange_n(word, &old, fresh, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return true;
  });
}

template <Reduction R>
Handler reduction_handler(Type type) noexcept {
  switch (type) {
    case Type::u32:
    case Type::b32:
      return reduce<u32, R>;
    case Type::s32:
      return reduce<s32, R>;
    case Type::u64:
    case Type::b64:
      return reduce<u64, R>;
    case Type::s64:
      return reduce<s64, R>;
    default:
      return nullptr;
  }
}

void take_boundary(Builder& b, Words& w, ImageAccess& access) {
  if (w.take("trap")) {
    access.boundary = ImageAccess::Boundary::trap;
  } else if (w.take("clamp")) {
    access.boundary = ImageAccess::Boundary::clamp;
  } else if (w.take("zero")) {
    access.boundary = ImageAccess::Boundary::zero;
  } else {
    b.refuse("expected what happens outside of the surface");
  }
}

void decode_access(Builder& b, Words& w, bool loads) {
  const auto& in = w.instruction();
  const bool formatted = w.take("p");
  b.need(formatted || w.take("b"), "expected '.b' or '.p'");
  b.need(!formatted || !loads, "formatted loads of a surface are not carried");
  ImageAccess access;
  take_shape(b, w, access);
  b.need(access.shape != ImageShape::cube && access.shape != ImageShape::layered_cube, "a surface has no such shape");
  for (const std::string_view hint : {"ca", "cg", "cs", "cv", "wb", "wt"}) w.take(hint);
  access.count = w.take("v4") ? 4 : w.take("v2") ? 2 : 1;
  access.type = w.take_type();
  access.element_bytes = bytes_of(access.type);
  if (formatted) {
    b.need(access.type == Type::b32 || access.type == Type::u32 || access.type == Type::s32 || access.type == Type::f32,
           "a formatted store takes 32 bits");
  } else {
    b.need(is_untyped(access.type) && access.element_bytes <= 8 && access.element_bytes * access.count <= 16,
           "a surface access can't have this type");
  }
  take_boundary(b, w, access);
  b.need_operands(2);
  const ast::Operand& values = in.operands[loads ? 0 : 1];
  take_image_operand(b, in.operands[loads ? 1 : 0], access, true);
  const bool vector = values.kind == ast::Operand::Kind::vector;
  b.need(vector ? values.items.size() == access.count : access.count == 1, "expected a vector of that many registers");
  for (unsigned k = 0; k < access.count; ++k) {
    const ast::Operand& one = vector ? values.items[k] : values;
    access.values[k] = loads ? b.write(one, access.type) : b.read(one, access.type);
  }
  emit_image(b, loads ? load_bytes : formatted ? store_formatted : store_bytes, access);
}

void decode_reduction(Builder& b, Words& w) {
  const auto& in = w.instruction();
  const bool formatted = w.take("p");
  b.need(formatted || w.take("b"), "expected '.b' or '.p'");
  ImageAccess access;
  const std::string_view op = w.take("add")   ? "add"
                              : w.take("min") ? "min"
                              : w.take("max") ? "max"
                              : w.take("and") ? "and"
                              : w.take("or")  ? "or"
                                              : "";
  take_shape(b, w, access);
  access.type = w.take_type();
  access.element_bytes = bytes_of(access.type);
  take_boundary(b, w, access);
  b.need_operands(2);
  Handler run = nullptr;
  if (op == "add") run = reduction_handler<Reduction::add>(access.type);
  if (op == "min") run = reduction_handler<Reduction::min>(access.type);
  if (op == "max") run = reduction_handler<Reduction::max>(access.type);
  if (op == "and") run = reduction_handler<Reduction::bit_and>(access.type);
  if (op == "or") run = reduction_handler<Reduction::bit_or>(access.type);
  b.need(run != nullptr, "this reduction is not carried");
  take_image_operand(b, in.operands[0], access, true);
  access.count = 1;
  access.values[0] = b.read(in.operands[1], access.type);
  emit_image(b, run, access);
  b.out().code.back().flags = formatted ? 1 : 0;
}

}  // namespace

bool decode_surface(Builder& b, Words& w) {
  const std::string_view op = w.instruction().opcode;
  if (op == "suld" || op == "sust") return decode_access(b, w, op == "suld"), true;
  if (op == "sured") return decode_reduction(b, w), true;
  return false;
}

}  // namespace vgpu::softgpu::ptx
