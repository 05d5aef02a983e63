#include <algorithm>
#include <cmath>
#include <limits>

#include "softgpu/ptx/builder.hpp"
#include "softgpu/ptx/lanes.hpp"
#include "softgpu/ptx/rounding.hpp"

/// Conversions whose result or source holds several values: cvt.pack, and cvt with the 8-bit formats e4m3 and e5m2.
/// e5m2 is the upper byte of a binary16; e4m3 has a bias of 7, no infinity, and one NaN for each sign (PTX ISA,
/// "Alternate Floating-Point Data Formats").
namespace vgpu::softgpu::ptx {
namespace {

/// flags: 1: the packed type is signed. count: its bits.
template <class From>
void pack_integers(Warp& w, const Insn& in, u32 mask) {
  u32* d = slots<u32>(w, in.d);
  const auto* a = slots<From>(w, in.a);
  const auto* b = slots<From>(w, in.b);
  const u32* c = in.c != kNoRef ? slots<u32>(w, in.c) : nullptr;
  const u32 bits = in.count;
  const bool is_signed = (in.flags & 1) != 0;
  const s64 low = is_signed ? -(s64{1} << (bits - 1)) : 0;
  const s64 high = is_signed ? (s64{1} << (bits - 1)) - 1 : (s64{1} << bits) - 1;
  const u32 field = (1u << bits) - 1;
  each_lane(mask, [&](u32 i) {
    const auto one = [&](u32 slot) { return static_cast<u32>(std::clamp<s64>(get<From>(slot), low, high)) & field; };
    const u32 pair = one(a[i]) << bits | one(b[i]);
    d[i] = c != nullptr ? pair | c[i] << 2 * bits : pair;
  });
}

bool decode_cvt_pack(Builder& b, Words& w) {
  const auto& in = w.instruction();
  b.need(w.take("sat"), "expected .sat");
  const std::string_view to = w.take_any();
  const bool two = to == "u16" || to == "s16";
  b.need(two || to == "u8" || to == "s8" || to == "u4" || to == "s4" || to == "u2" || to == "s2",
         "this conversion is not carried");
  const Type from = w.take_type();
  b.need(from == Type::s32 || (from == Type::u32 && two), "this conversion is not carried");
  if (!two) b.need(w.take("b32"), "expected .b32");
  b.need_operands(two ? 3 : 4);
  const Ref a = b.read(in.operands[1], from);
  const Ref c = b.read(in.operands[2], from);
  const Ref rest = two ? kNoRef : b.read(in.operands[3], Type::b32);
  Insn& insn = b.emit(from == Type::s32 ? pack_integers<s32> : pack_integers<u32>, b.write(in.operands[0], Type::b32),
                      a, c, rest);
  insn.flags = to[0] == 's' ? 1 : 0;
  insn.count = static_cast<std::uint8_t>(two ? 16 : to[1] - '0');
  return true;
}

enum class Eight { e4m3, e5m2 };

/// Nearest even, what is too large becomes the largest number (.satfinite).
template <Eight F>
u32 to_eight(float value, bool relu) {
  constexpr int kFraction = F == Eight::e4m3 ? 3 : 2;
  constexpr int kLowest = F == Eight::e4m3 ? -6 : -14;
  constexpr u32 kLargest = F == Eight::e4m3 ? 0x7e : 0x7b;
  constexpr float kLimit = F == Eight::e4m3 ? 448.0f : 57344.0f;
  if (value != value) return 0x7f;
  if (relu && !(value > 0)) return 0;
  const u32 sign = std::signbit(value) ? 0x80 : 0;
  const float magnitude = std::fabs(value);
  if (magnitude >= kLimit) return sign | kLargest;
  const int exponent = std::max(magnitude == 0 ? kLowest : std::ilogb(magnitude), kLowest);
  // Counted in units of the last place; a subnormal has no leading one, a carry runs into the exponent by itself.
  const auto units = static_cast<u32>(std::nearbyint(std::ldexp(magnitude, kFraction - exponent)));
  const u32 bits = static_cast<u32>(exponent - kLowest) << kFraction;
  return sign | std::min(bits + units, kLargest);
}
template <Eight F>
u32 from_eight(u32 bits) {
  if constexpr (F == Eight::e5m2) {
    return (bits & 0x7f) > 0x7c ? 0x7fff : (bits & 0xff) << 8;
  } else {
    if ((bits & 0x7f) == 0x7f) return 0x7fff;
    const u32 sign = (bits & 0x80) << 8;
    const u32 exponent = bits >> 3 & 15;
    const u32 fraction = bits & 7;
    if (exponent != 0) return sign | (exponent + 8) << 10 | fraction << 7;
    return sign | narrow<Half>(static_cast<double>(fraction) * 0x1p-9).bits;
  }
}

template <Eight F>
void floats_to_eights(Warp& w, const Insn& in, u32 mask) {
  u32* d = slots<u32>(w, in.d);
  const auto* a = slots<float>(w, in.a);
  const auto* b = slots<float>(w, in.b);
  const bool relu = in.flags != 0;
  each_lane(mask,
            [&](u32 i) { d[i] = to_eight<F>(get<float>(a[i]), relu) << 8 | to_eight<F>(get<float>(b[i]), relu); });
}
template <Eight F>
void halves_to_eights(Warp& w, const Insn& in, u32 mask) {
  u32* d = slots<u32>(w, in.d);
  const u32* a = slots<u32>(w, in.a);
  const bool relu = in.flags != 0;
  const auto one = [&](u32 bits) { return to_eight<F>(to_float(Half{static_cast<u16>(bits)}), relu); };
  each_lane(mask, [&](u32 i) { d[i] = one(a[i] >> 16) << 8 | one(a[i]); });
}
template <Eight F>
void eights_to_halves(Warp& w, const Insn& in, u32 mask) {
  u32* d = slots<u32>(w, in.d);
  const u32* a = slots<u32>(w, in.a);
  const auto one = [&](u32 bits) {
    const u32 half = from_eight<F>(bits);
    return in.flags != 0 && (half & 0x8000) != 0 ? 0u : half;
  };
  each_lane(mask, [&](u32 i) { d[i] = one(a[i] >> 8 & 0xff) << 16 | one(a[i] & 0xff); });
}

bool decode_eights(Builder& b, Words& w, std::string_view format) {
  const auto& in = w.instruction();
  const bool narrow_range = format == "e4m3x2";
  // The first format is the result's.
  bool gives_eights = false;
  for (const std::string_view word : in.modifiers) {
    if (word == format || type_from(word) != Type::none) {
      gives_eights = word == format;
      break;
    }
  }
  w.take(format);
  b.need(w.take("rn"), "expected .rn");
  const bool relu = w.take("relu");
  const Type other = w.take_type();
  if (!gives_eights) {
    b.need(other == Type::f16x2, "this conversion is not carried");
    b.need_operands(2);
    const Ref a = b.read(in.operands[1], Type::b16);
    b.emit(narrow_range ? eights_to_halves<Eight::e4m3> : eights_to_halves<Eight::e5m2>,
           b.write(in.operands[0], Type::b32), a)
        .flags = relu ? 1 : 0;
    return true;
  }
  b.need(w.take("satfinite"), "expected .satfinite");
  b.need(other == Type::f32 || other == Type::f16x2, "this conversion is not carried");
  const bool floats = other == Type::f32;
  b.need_operands(floats ? 3 : 2);
  const Ref a = b.read(in.operands[1], floats ? Type::f32 : Type::b32);
  const Ref c = floats ? b.read(in.operands[2], Type::f32) : kNoRef;
  const Handler run = floats ? (narrow_range ? floats_to_eights<Eight::e4m3> : floats_to_eights<Eight::e5m2>)
                             : (narrow_range ? halves_to_eights<Eight::e4m3> : halves_to_eights<Eight::e5m2>);
  b.emit(run, b.write(in.operands[0], Type::b16), a, c).flags = relu ? 1 : 0;
  return true;
}

}  // namespace

bool decode_pack(Builder& b, Words& w) {
  if (w.instruction().opcode != "cvt") return false;
  if (w.take("pack")) return decode_cvt_pack(b, w);
  for (const std::string_view format : {"e4m3x2", "e5m2x2"}) {
    if (w.has(format)) return decode_eights(b, w, format);
  }
  return false;
}

}  // namespace vgpu::softgpu::ptx
