#include <cmath>
#include <limits>

#include "softgpu/ptx/builder.hpp"
#include "softgpu/ptx/lanes.hpp"
#include "softgpu/ptx/rounding.hpp"

/// cvt (PTX ISA, "Data Movement and Conversion Instructions: cvt").
namespace vgpu::softgpu::ptx {
namespace {

float flush(float value) noexcept { return std::fabs(value) < 0x1p-126f ? std::copysign(0.0f, value) : value; }

template <class T>
T whole(T value, Round mode) noexcept {
  switch (mode) {
    case Round::zero:
      return std::trunc(value);
    case Round::down:
      return std::floor(value);
    case Round::up:
      return std::ceil(value);
    default:
      return std::nearbyint(value);
  }
}

/// Out of range goes to the nearest end; NaN to zero, or, where source or result has 64 bits, to the top bit alone (PTX
/// ISA, cvt).
template <class To, class From>
To to_integer(From value) noexcept {
  if (value != value)
    return sizeof(To) == 8 || sizeof(From) == 8 ? static_cast<To>(u64{1} << (8 * sizeof(To) - 1)) : To{0};
  constexpr auto kLow = std::numeric_limits<To>::min();
  constexpr auto kHigh = std::numeric_limits<To>::max();
  // The upper end as a power of two is exact in every format; the value itself may round up to it.
  const auto above = static_cast<From>(std::ldexp(From{1}, std::numeric_limits<To>::digits));
  if (value >= above) return kHigh;
  if (value < static_cast<From>(kLow)) return kLow;
  return static_cast<To>(value);
}

template <class To, class From, Round R>
void float_to_integer(Warp& w, const Insn& in, u32 mask) {
  auto* d = slots<To>(w, in.d);
  const auto* a = slots<From>(w, in.a);
  const bool flushes = (in.flags & kFlush) != 0;
  each_lane(mask, [&](u32 i) {
    if constexpr (sizeof(From) == 2) {
      d[i] = put<To>(to_integer<To, float>(whole(to_float(get<From>(a[i])), R)));
    } else if constexpr (sizeof(From) == 4) {
      const From value = get<From>(a[i]);
      d[i] = put<To>(to_integer<To, From>(whole(flushes ? flush(value) : value, R)));
    } else {
      d[i] = put<To>(to_integer<To, From>(whole(get<From>(a[i]), R)));
    }
  });
}

template <class To, class From, bool Saturate>
To integer_to_integer(From value) noexcept {
  if constexpr (Saturate) {
    if constexpr (std::is_signed_v<From>) {
      if (value < 0 && !std::is_signed_v<To>) return 0;
      if (value < 0) {
        return static_cast<s64>(value) < static_cast<s64>(std::numeric_limits<To>::min())
                   ? std::numeric_limits<To>::min()
                   : static_cast<To>(value);
      }
    }
    return static_cast<u64>(value) > static_cast<u64>(std::numeric_limits<To>::max()) ? std::numeric_limits<To>::max()
                                                                                      : static_cast<To>(value);
  }
  return static_cast<To>(value);
}

template <class T>
T saturate(T value) noexcept {
  return value > T{0} ? (value < T{1} ? value : T{1}) : T{0};
}

/// float to float of the same or a wider format, and rounding to a whole number in the same format.
enum Shape : std::uint8_t { kPlain, kWhole };
template <class To, class From, Round R, Shape S>
void float_to_float(Warp& w, const Insn& in, u32 mask) {
  auto* d = slots<To>(w, in.d);
  const auto* a = slots<From>(w, in.a);
  const bool flushes = (in.flags & kFlush) != 0;
  const bool saturates = (in.flags & kSaturate) != 0;
  each_lane(mask, [&](u32 i) {
    double value = 0;
    if constexpr (sizeof(From) == 2) {
      value = static_cast<double>(to_float(get<From>(a[i])));
    } else if constexpr (sizeof(From) == 4) {
      const float one = get<From>(a[i]);
      value = static_cast<double>(flushes ? flush(one) : one);
    } else {
      value = get<From>(a[i]);
    }
    if constexpr (S == kWhole) value = whole(value, R);
    if (saturates) value = saturate(value);
    if constexpr (sizeof(To) == 2) {
      d[i] = put<To>(narrow<To>(value, S == kWhole ? Round::nearest : R));
    } else if constexpr (sizeof(To) == 4) {
      float out = static_cast<float>(value);
      if (out != out) out = std::bit_cast<float>(0x7fffffffu);
      d[i] = put<To>(flushes ? flush(out) : out);
    } else {
      d[i] = put<To>(value);
    }
  });
}

/// A float to 16 bits: below zero becomes zero (kRelu), beyond the largest number becomes that (kSatFinite).
enum Bound : std::uint8_t { kRelu = 1, kSatFinite = 2 };
template <class H, Round R>
u32 narrow_bounded(u32 slot, u32 flags) {
  float value = get<float>(slot);
  if ((flags & kRelu) != 0 && !(value > 0) && value == value) value = 0;
  const u32 bits = narrow<H>(static_cast<double>(value), R).bits;
  constexpr u32 kInfinity = std::is_same_v<H, Half> ? 0x7c00 : 0x7f80;
  return (flags & kSatFinite) != 0 && (bits & 0x7fff) == kInfinity ? bits - 1 : bits;
}

/// Two floats to two 16-bit halves: a is the upper one.
template <class H, Round R>
void pack_halves(Warp& w, const Insn& in, u32 mask) {
  u32* d = slots<u32>(w, in.d);
  const auto* a = slots<float>(w, in.a);
  const auto* b = slots<float>(w, in.b);
  each_lane(mask,
            [&](u32 i) { d[i] = narrow_bounded<H, R>(a[i], in.flags) << 16 | narrow_bounded<H, R>(b[i], in.flags); });
}
template <class H, Round R>
void narrow_one(Warp& w, const Insn& in, u32 mask) {
  u32* d = slots<u32>(w, in.d);
  const auto* a = slots<float>(w, in.a);
  each_lane(mask, [&](u32 i) { d[i] = narrow_bounded<H, R>(a[i], in.flags); });
}

/// tf32: a float of 10 fraction bits.
template <Round R>
void to_tf32(Warp& w, const Insn& in, u32 mask) {
  u32* d = slots<u32>(w, in.d);
  const u32* a = slots<u32>(w, in.a);
  const bool relu = (in.flags & kRelu) != 0;
  const bool finite = (in.flags & kSatFinite) != 0;
  each_lane(mask, [&](u32 i) {
    u32 bits = a[i];
    const float value = std::bit_cast<float>(bits);
    if (value != value) {
      d[i] = 0x7fffffffu;
      return;
    }
    if (relu && (bits & 0x80000000u) != 0) bits = 0;
    if ((bits & 0x7f800000u) != 0x7f800000u) {
      if (R == Round::away) bits += 0x1000u;
      if (R == Round::nearest) bits += 0xfffu + (bits >> 13 & 1);
    }
    bits &= ~0x1fffu;
    if (finite && (bits & 0x7fffffffu) == 0x7f800000u) bits -= 0x2000u;
    d[i] = bits;
  });
}

template <class To, class From>
void integer_to_half(Warp& w, const Insn& in, u32 mask) {
  auto* d = slots<To>(w, in.d);
  const auto* a = slots<From>(w, in.a);
  const auto mode = static_cast<Round>(in.imm);
  each_lane(mask, [&](u32 i) {
    const From value = get<From>(a[i]);
    // An integer of 64 bits may not fit a double: keep what falls away in the last bit.
    double wide = static_cast<double>(value);
    if constexpr (sizeof(From) == 8) {
      using U = std::make_unsigned_t<From>;
      const U magnitude = value < 0 ? static_cast<U>(U{0} - static_cast<U>(value)) : static_cast<U>(value);
      const U kept = magnitude >> 53 != 0
                         ? static_cast<U>((magnitude & ~U{0xfff}) | ((magnitude & 0xfff) != 0 ? 0x1000 : 0))
                         : magnitude;
      wide = static_cast<double>(kept);
      if (value < 0) wide = -wide;
    }
    d[i] = put<To>(narrow<To>(wide, mode));
  });
}

template <class F>
Handler by_round(Round mode, F f) {
  switch (mode) {
    case Round::zero:
      return f.template operator()<Round::zero>();
    case Round::down:
      return f.template operator()<Round::down>();
    case Round::up:
      return f.template operator()<Round::up>();
    case Round::away:
      return f.template operator()<Round::away>();
    default:
      return f.template operator()<Round::nearest>();
  }
}
template <class F>
Handler for_floats(Type type, F f) {
  switch (type) {
    case Type::f16:
      return f.template operator()<Half>();
    case Type::bf16:
      return f.template operator()<Brain>();
    case Type::f32:
      return f.template operator()<float>();
    case Type::f64:
      return f.template operator()<double>();
    default:
      return nullptr;
  }
}

struct Modes {
  Round round = Round::nearest;
  bool rounds = false;        ///< .rn .rz .rm .rp .rna
  bool rounds_whole = false;  ///< .rni .rzi .rmi .rpi
  bool flush = false, saturate = false, relu = false, satfinite = false;
};

Modes take_modes(Words& w) {
  Modes out;
  static constexpr std::pair<std::string_view, Round> kFloat[] = {
      {"rn", Round::nearest}, {"rz", Round::zero}, {"rm", Round::down}, {"rp", Round::up}, {"rna", Round::away}};
  static constexpr std::pair<std::string_view, Round> kWholes[] = {
      {"rni", Round::nearest}, {"rzi", Round::zero}, {"rmi", Round::down}, {"rpi", Round::up}};
  for (const auto& [word, mode] : kFloat) {
    if (w.take(word)) {
      out.round = mode;
      out.rounds = true;
    }
  }
  for (const auto& [word, mode] : kWholes) {
    if (w.take(word)) {
      out.round = mode;
      out.rounds_whole = true;
    }
  }
  out.flush = w.take("ftz");
  out.saturate = w.take("sat");
  out.relu = w.take("relu");
  out.satfinite = w.take("satfinite");
  return out;
}

Handler integers(Type to, Type from, bool saturates) {
  return for_integers(from, [&]<class From>() -> Handler {
    return for_integers(to, [&]<class To>() -> Handler {
      return saturates ? unary<To, From, integer_to_integer<To, From, true>>
                       : unary<To, From, integer_to_integer<To, From, false>>;
    });
  });
}

/// Integers to float or double go through 32 or 64 bits.
Type widened(Type type) {
  switch (type) {
    case Type::u8:
    case Type::u16:
    case Type::u32:
      return Type::u32;
    case Type::s8:
    case Type::s16:
    case Type::s32:
      return Type::s32;
    default:
      return type;
  }
}

}  // namespace

bool decode_convert(Builder& b, Words& w) {
  const auto& in = w.instruction();
  if (in.opcode != "cvt" || w.has("pack") || w.has("e4m3x2") || w.has("e5m2x2")) return false;
  const Modes modes = take_modes(w);
  const Type to = w.take_type();
  const Type from = w.take_type();
  b.need(to != Type::none && from != Type::none && to != Type::pred && from != Type::pred,
         "these formats are not carried");
  b.need(!is_untyped(to) && !is_untyped(from), "a conversion needs a signed, unsigned or floating type");
  const std::uint8_t flags = (modes.flush ? kFlush : 0) | (modes.saturate ? kSaturate : 0);
  const std::uint8_t bounds = (modes.relu ? kRelu : 0) | (modes.satfinite ? kSatFinite : 0);
  if (to == Type::f16x2 || to == Type::bf16x2) {
    b.need_operands(3);
    b.need(from == Type::f32 && modes.rounds && (modes.round == Round::nearest || modes.round == Round::zero) &&
               !modes.saturate,
           "this conversion is not carried");
    const bool half = to == Type::f16x2;
    const bool zero = modes.round == Round::zero;
    const Handler run = half ? (zero ? pack_halves<Half, Round::zero> : pack_halves<Half, Round::nearest>)
                             : (zero ? pack_halves<Brain, Round::zero> : pack_halves<Brain, Round::nearest>);
    const Ref a = b.read(in.operands[1], from);
    const Ref c = b.read(in.operands[2], from);
    b.emit(run, b.write(in.operands[0], Type::b32), a, c).flags = bounds;
    return true;
  }
  b.need_operands(2);
  if (to == Type::tf32) {
    b.need(from == Type::f32 && modes.rounds, "this conversion is not carried");
    const Ref a = b.read(in.operands[1], from);
    const Handler run = modes.round == Round::away   ? to_tf32<Round::away>
                        : modes.round == Round::zero ? to_tf32<Round::zero>
                                                     : to_tf32<Round::nearest>;
    b.emit(run, b.write(in.operands[0], Type::b32), a).flags = bounds;
    return true;
  }
  if (bounds != 0) {
    b.need(from == Type::f32 && (to == Type::f16 || to == Type::bf16) && modes.rounds,
           "this conversion is not carried");
    const bool half = to == Type::f16;
    const bool zero = modes.round == Round::zero;
    const Ref a = b.read(in.operands[1], from);
    b.emit(half ? (zero ? narrow_one<Half, Round::zero> : narrow_one<Half, Round::nearest>)
                : (zero ? narrow_one<Brain, Round::zero> : narrow_one<Brain, Round::nearest>),
           b.write(in.operands[0], to), a)
        .flags = bounds;
    return true;
  }
  b.need(!(modes.rounds && modes.round == Round::away), "this rounding is not carried here");
  const Ref a = b.read(in.operands[1], from);
  const bool to_float_type = is_float(to);
  const bool from_float_type = is_float(from);
  if (!to_float_type && !from_float_type) {
    b.emit(integers(to, from, modes.saturate), b.write(in.operands[0], to), a);
    return true;
  }
  if (!to_float_type) {
    b.need(modes.rounds_whole, "a conversion to an integer needs a rounding");
    const Handler run = for_floats(from, [&]<class From>() -> Handler {
      return for_integers(to, [&]<class To>() -> Handler {
        return by_round(modes.round, []<Round R>() -> Handler { return float_to_integer<To, From, R>; });
      });
    });
    b.emit(run, b.write(in.operands[0], to), a).flags = flags;
    return true;
  }
  if (!from_float_type) {
    b.need(modes.rounds, "a conversion from an integer needs a rounding");
    if (to == Type::f16 || to == Type::bf16) {
      b.need(!modes.saturate, "this conversion is not carried");
      const Handler run = for_integers(from, [&]<class From>() -> Handler {
        return to == Type::f16 ? integer_to_half<Half, From> : integer_to_half<Brain, From>;
      });
      b.emit(run, b.write(in.operands[0], to), a).imm = static_cast<u64>(modes.round);
      return true;
    }
    // Small integers are extended first: their slots hold only as many bits as the type.
    Ref wide = a;
    if (widened(from) != from) {
      wide = b.temporary(false);
      b.emit(integers(widened(from), from, false), wide, a);
    }
    const Ref d = b.write(in.operands[0], to);
    b.emit(directed_conversion(to, widened(from), modes.round), d, wide);
    if (modes.saturate) {
      b.emit(to == Type::f64 ? unary<double, double, saturate<double>> : unary<float, float, saturate<float>>, d, d);
    }
    return true;
  }
  if (from == Type::f64 && to == Type::f32) {
    b.need(modes.rounds, "a narrowing conversion needs a rounding");
    if (modes.round != Round::nearest) {
      const Ref d = b.write(in.operands[0], to);
      b.emit(directed_conversion(to, from, modes.round), d, a);
      if (modes.flush) b.emit(unary<float, float, flush>, d, d);
      if (modes.saturate) b.emit(unary<float, float, saturate<float>>, d, d);
      return true;
    }
  }
  b.need(!modes.rounds_whole || to == from, "this rounding is not carried here");
  const Handler run = for_floats(from, [&]<class From>() -> Handler {
    return for_floats(to, [&]<class To>() -> Handler {
      return by_round(modes.round, [&]<Round R>() -> Handler {
        return modes.rounds_whole ? float_to_float<To, From, R, kWhole> : float_to_float<To, From, R, kPlain>;
      });
    });
  });
  b.emit(run, b.write(in.operands[0], to), a).flags = flags;
  return true;
}

}  // namespace vgpu::softgpu::ptx
