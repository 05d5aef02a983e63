#include <algorithm>
#include <bit>
#include <limits>

#include "softgpu/ptx/builder.hpp"
#include "softgpu/ptx/lanes.hpp"

/// Integer arithmetic (PTX ISA, "Integer Arithmetic Instructions").
namespace vgpu::softgpu::ptx {
namespace {

template <class T>
using Unsigned = std::make_unsigned_t<T>;
/// Wide enough that small types neither promote to int nor overflow it.
template <class T>
using Work = std::conditional_t<sizeof(T) == 8, u64, u32>;

__extension__ using SignedBig = __int128;
__extension__ using UnsignedBig = unsigned __int128;

template <class T>
T add(T a, T b) {
  return static_cast<T>(static_cast<Work<T>>(a) + static_cast<Work<T>>(b));
}
template <class T>
T sub(T a, T b) {
  return static_cast<T>(static_cast<Work<T>>(a) - static_cast<Work<T>>(b));
}
template <class T>
T mul_lo(T a, T b) {
  return static_cast<T>(static_cast<Work<T>>(a) * static_cast<Work<T>>(b));
}
template <class T>
T mad_lo(T a, T b, T c) {
  return add<T>(mul_lo<T>(a, b), c);
}

template <class T>
T mul_hi(T a, T b) {
  if constexpr (sizeof(T) == 8) {
    using Big = std::conditional_t<std::is_signed_v<T>, SignedBig, UnsignedBig>;
    return static_cast<T>((static_cast<Big>(a) * static_cast<Big>(b)) >> 64);
  } else {
    using Big = std::conditional_t<std::is_signed_v<T>, s64, u64>;
    return static_cast<T>((static_cast<Big>(a) * static_cast<Big>(b)) >> (8 * sizeof(T)));
  }
}
template <class T>
T mad_hi(T a, T b, T c) {
  return add<T>(mul_hi<T>(a, b), c);
}

template <class T>
struct Doubled;
template <>
struct Doubled<u16> {
  using type = u32;
};
template <>
struct Doubled<s16> {
  using type = s32;
};
template <>
struct Doubled<u32> {
  using type = u64;
};
template <>
struct Doubled<s32> {
  using type = s64;
};
template <class T>
using Double = typename Doubled<T>::type;
template <class T>
Double<T> mul_wide(T a, T b) {
  return static_cast<Double<T>>(static_cast<Double<T>>(a) * static_cast<Double<T>>(b));
}
template <class T>
Double<T> mad_wide(T a, T b, Double<T> c) {
  return add<Double<T>>(mul_wide<T>(a, b), c);
}

// Division by zero and the one quotient that overflows are undefined in PTX; they must not end the process.
template <class T>
T divide(T a, T b) {
  if (b == 0) return static_cast<T>(~T{0});
  if constexpr (std::is_signed_v<T>) {
    if (b == -1) return sub<T>(0, a);
  }
  return static_cast<T>(a / b);
}
template <class T>
T remainder(T a, T b) {
  if (b == 0) return a;
  if constexpr (std::is_signed_v<T>) {
    if (b == -1) return 0;
  }
  return static_cast<T>(a % b);
}
template <class T>
T minimum(T a, T b) {
  return a < b ? a : b;
}
template <class T>
T maximum(T a, T b) {
  return a > b ? a : b;
}
template <class T>
T absolute(T a) {
  return a < 0 ? sub<T>(0, a) : a;
}
template <class T>
T negate(T a) {
  return sub<T>(0, a);
}
template <class T>
T sad(T a, T b, T c) {
  return add<T>(c, a < b ? sub<T>(b, a) : sub<T>(a, b));
}

s32 clamp32(s64 value) {
  return static_cast<s32>(std::clamp<s64>(value, std::numeric_limits<s32>::min(), std::numeric_limits<s32>::max()));
}
s32 add_sat(s32 a, s32 b) { return clamp32(s64{a} + b); }
s32 sub_sat(s32 a, s32 b) { return clamp32(s64{a} - b); }
s32 mad_hi_sat(s32 a, s32 b, s32 c) { return clamp32(s64{mul_hi<s32>(a, b)} + c); }

template <class T>
s64 low24(T a) {
  return std::is_signed_v<T> ? static_cast<s64>(static_cast<s32>(static_cast<u32>(a) << 8) >> 8)
                             : static_cast<s64>(static_cast<u32>(a) & 0xffffffu);
}
template <class T>
T mul24_lo(T a, T b) {
  return static_cast<T>(low24<T>(a) * low24<T>(b));
}
template <class T>
T mul24_hi(T a, T b) {
  return static_cast<T>((low24<T>(a) * low24<T>(b)) >> 16);
}
template <class T>
T mad24_lo(T a, T b, T c) {
  return add<T>(mul24_lo<T>(a, b), c);
}
template <class T>
T mad24_hi(T a, T b, T c) {
  return add<T>(mul24_hi<T>(a, b), c);
}
s32 mad24_hi_sat(s32 a, s32 b, s32 c) { return clamp32(s64{mul24_hi<s32>(a, b)} + c); }

// Two 16-bit halves in one register.
template <class T, auto F>
u32 halves(u32 a, u32 b) {
  const auto low = static_cast<u16>(F(static_cast<T>(a), static_cast<T>(b)));
  const auto high = static_cast<u16>(F(static_cast<T>(a >> 16), static_cast<T>(b >> 16)));
  return low | static_cast<u32>(high) << 16;
}

/// Negative halves become zero.
u32 halves_from_zero(u32 a) { return halves<s16, maximum<s16>>(a, 0); }
s32 from_zero(s32 a) { return a > 0 ? a : 0; }

template <class A, class B>
u32 dp4a(u32 a, u32 b, u32 c) {
  for (unsigned i = 0; i < 32; i += 8) {
    c += static_cast<u32>(static_cast<s32>(static_cast<A>(a >> i)) * static_cast<s32>(static_cast<B>(b >> i)));
  }
  return c;
}
template <class A, class B, unsigned Shift>
u32 dp2a(u32 a, u32 b, u32 c) {
  for (unsigned i = 0; i < 2; ++i) {
    c += static_cast<u32>(static_cast<s32>(static_cast<A>(a >> 16 * i)) *
                          static_cast<s32>(static_cast<B>(b >> (Shift + 8 * i))));
  }
  return c;
}

// What each opcode does for each type. The SIMD halves take their own path.
#define VGPU_BINARY(name) for_words(type, []<class T>() -> Handler { return binary<T, T, T, name<T>>; })
#define VGPU_UNARY(name) for_words(type, []<class T>() -> Handler { return unary<T, T, name<T>>; })

Handler pick_halves(std::string_view op, std::string_view type) {
  const bool is_signed = type == "s16x2";
  if (op == "add") return binary<u32, u32, u32, halves<u16, add<u16>>>;
  if (op == "sub") return binary<u32, u32, u32, halves<u16, sub<u16>>>;
  if (op == "min")
    return is_signed ? binary<u32, u32, u32, halves<s16, minimum<s16>>>
                     : binary<u32, u32, u32, halves<u16, minimum<u16>>>;
  if (op == "max")
    return is_signed ? binary<u32, u32, u32, halves<s16, maximum<s16>>>
                     : binary<u32, u32, u32, halves<u16, maximum<u16>>>;
  return nullptr;
}

bool is_integer(Type type) { return type != Type::none && type != Type::pred && !is_float(type); }

bool decode_mul_mad(Builder& b, Words& w, Type type) {
  const auto& in = w.instruction();
  const bool mad = in.opcode == "mad";
  b.need_operands(mad ? 4 : 3);
  const bool wide = w.take("wide");
  const bool hi = !wide && w.take("hi");
  if (!wide && !hi && !w.take("lo")) b.refuse("expected .lo, .hi or .wide");
  const Ref a = b.read(in.operands[1], type);
  const Ref c = b.read(in.operands[2], type);
  if (wide) {
    const Type result = type == Type::u16   ? Type::u32
                        : type == Type::s16 ? Type::s32
                        : type == Type::u32 ? Type::u64
                        : type == Type::s32 ? Type::s64
                                            : Type::none;
    b.need(result != Type::none, ".wide needs a type of 16 or 32 bits");
    const auto pick = [&]<class T>() -> Handler {
      return mad ? Handler{ternary<Double<T>, T, T, Double<T>, mad_wide<T>>}
                 : Handler{binary<Double<T>, T, T, mul_wide<T>>};
    };
    const Handler run = type == Type::u16   ? pick.template operator()<u16>()
                        : type == Type::s16 ? pick.template operator()<s16>()
                        : type == Type::u32 ? pick.template operator()<u32>()
                                            : pick.template operator()<s32>();
    const Ref sum = mad ? b.read(in.operands[3], result) : kNoRef;
    b.emit(run, b.write(in.operands[0], result), a, c, sum);
    return true;
  }
  Handler run = nullptr;
  if (mad && hi && type == Type::s32 && w.take("sat")) {
    run = ternary<s32, s32, s32, s32, mad_hi_sat>;
  } else if (mad) {
    run = hi ? for_words(type, []<class T>() -> Handler { return ternary<T, T, T, T, mad_hi<T>>; })
             : for_words(type, []<class T>() -> Handler { return ternary<T, T, T, T, mad_lo<T>>; });
  } else {
    run = hi ? VGPU_BINARY(mul_hi) : VGPU_BINARY(mul_lo);
  }
  const Ref sum = mad ? b.read(in.operands[3], type) : kNoRef;
  b.emit(run, b.write(in.operands[0], type), a, c, sum);
  return true;
}

bool decode_24(Builder& b, Words& w, Type type) {
  const auto& in = w.instruction();
  const bool mad = in.opcode == "mad24";
  b.need_operands(mad ? 4 : 3);
  b.need(type == Type::u32 || type == Type::s32, "expected .u32 or .s32");
  const bool hi = w.take("hi");
  if (!hi && !w.take("lo")) b.refuse("expected .lo or .hi");
  const bool is_signed = type == Type::s32;
  Handler run = nullptr;
  if (!mad) {
    run = is_signed ? (hi ? binary<s32, s32, s32, mul24_hi<s32>> : binary<s32, s32, s32, mul24_lo<s32>>)
                    : (hi ? binary<u32, u32, u32, mul24_hi<u32>> : binary<u32, u32, u32, mul24_lo<u32>>);
  } else if (hi && is_signed && w.take("sat")) {
    run = ternary<s32, s32, s32, s32, mad24_hi_sat>;
  } else {
    run = is_signed ? (hi ? ternary<s32, s32, s32, s32, mad24_hi<s32>> : ternary<s32, s32, s32, s32, mad24_lo<s32>>)
                    : (hi ? ternary<u32, u32, u32, u32, mad24_hi<u32>> : ternary<u32, u32, u32, u32, mad24_lo<u32>>);
  }
  const Ref a = b.read(in.operands[1], type);
  const Ref c = b.read(in.operands[2], type);
  const Ref sum = mad ? b.read(in.operands[3], type) : kNoRef;
  b.emit(run, b.write(in.operands[0], type), a, c, sum);
  return true;
}

bool decode_dot(Builder& b, Words& w) {
  const auto& in = w.instruction();
  b.need_operands(4);
  const bool four = in.opcode == "dp4a";
  const bool hi = !four && w.take("hi");
  if (!four && !hi && !w.take("lo")) b.refuse("expected .lo or .hi");
  const Type left = w.take_type();
  const Type right = w.take_type();
  for (const Type type : {left, right}) b.need(type == Type::u32 || type == Type::s32, "expected .u32 or .s32");
  const auto pick = [&]<class A16, class A8, class B8>() -> Handler {
    if (four) return ternary<u32, u32, u32, u32, dp4a<A8, B8>>;
    return hi ? Handler{ternary<u32, u32, u32, u32, dp2a<A16, B8, 16>>}
              : Handler{ternary<u32, u32, u32, u32, dp2a<A16, B8, 0>>};
  };
  const bool ls = left == Type::s32;
  const bool rs = right == Type::s32;
  const Handler run = ls ? (rs ? pick.template operator()<s16, s8, s8>() : pick.template operator()<s16, s8, u8>())
                         : (rs ? pick.template operator()<u16, u8, s8>() : pick.template operator()<u16, u8, u8>());
  const Ref a = b.read(in.operands[1], left);
  const Ref c = b.read(in.operands[2], right);
  const Ref sum = b.read(in.operands[3], Type::b32);
  b.emit(run, b.write(in.operands[0], Type::b32), a, c, sum);
  return true;
}

}  // namespace

bool decode_integer(Builder& b, Words& w) {
  const auto& in = w.instruction();
  const std::string_view op = in.opcode;
  if (op == "dp4a" || op == "dp2a") return decode_dot(b, w);
  const bool two = op == "add" || op == "sub" || op == "div" || op == "rem" || op == "min" || op == "max";
  const bool one = op == "abs" || op == "neg";
  const bool product = op == "mul" || op == "mad";
  const bool product24 = op == "mul24" || op == "mad24";
  if (!two && !one && !product && !product24 && op != "sad") return false;
  if (w.has("cc")) return false;
  for (const std::string_view pair : {"s16x2", "u16x2"}) {
    if (!w.take(pair)) continue;
    b.need_operands(3);
    const Ref a = b.read(in.operands[1], Type::b32);
    const Ref c = b.read(in.operands[2], Type::b32);
    const bool relu = pair == "s16x2" && (op == "min" || op == "max") && w.take("relu");
    const Ref d = b.write(in.operands[0], Type::b32);
    b.emit(pick_halves(op, pair), d, a, c);
    if (relu) b.emit(unary<u32, u32, halves_from_zero>, d, d);
    return true;
  }
  const Type type = w.take_type();
  if (!is_integer(type)) return false;
  if (product) return decode_mul_mad(b, w, type);
  if (product24) return decode_24(b, w, type);
  Handler run = nullptr;
  if (op == "sad") {
    b.need_operands(4);
    run = for_words(type, []<class T>() -> Handler { return ternary<T, T, T, T, sad<T>>; });
    const Ref a = b.read(in.operands[1], type);
    const Ref c = b.read(in.operands[2], type);
    const Ref sum = b.read(in.operands[3], type);
    b.emit(run, b.write(in.operands[0], type), a, c, sum);
    return true;
  }
  if (one) {
    b.need_operands(2);
    run = op == "abs" ? VGPU_UNARY(absolute) : VGPU_UNARY(negate);
    const Ref a = b.read(in.operands[1], type);
    b.emit(run, b.write(in.operands[0], type), a);
    return true;
  }
  b.need_operands(3);
  const bool saturates = type == Type::s32 && (op == "add" || op == "sub") && w.take("sat");
  const bool relu = type == Type::s32 && (op == "min" || op == "max") && w.take("relu");
  if (op == "add") run = saturates ? Handler{binary<s32, s32, s32, add_sat>} : VGPU_BINARY(add);
  if (op == "sub") run = saturates ? Handler{binary<s32, s32, s32, sub_sat>} : VGPU_BINARY(sub);
  if (op == "div") run = VGPU_BINARY(divide);
  if (op == "rem") run = VGPU_BINARY(remainder);
  if (op == "min") run = VGPU_BINARY(minimum);
  if (op == "max") run = VGPU_BINARY(maximum);
  const Ref a = b.read(in.operands[1], type);
  const Ref c = b.read(in.operands[2], type);
  const Ref d = b.write(in.operands[0], type);
  b.emit(run, d, a, c);
  if (relu) b.emit(unary<s32, s32, from_zero>, d, d);
  return true;
}

}  // namespace vgpu::softgpu::ptx
