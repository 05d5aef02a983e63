#include <cmath>

#include "softgpu/ptx/builder.hpp"
#include "softgpu/ptx/lanes.hpp"
#include "softgpu/ptx/rounding.hpp"

/// Arithmetic on float and double, rounded to nearest; other roundings and functions are in decode_math.cpp.
namespace vgpu::softgpu::ptx {
namespace {

/// A GPU gives one NaN for float results, whatever the operands' were (PTX ISA, "Floating Point Instructions").
float canonical(float value) {
  const u32 bits = std::bit_cast<u32>(value);
  return std::bit_cast<float>((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fffffffu : bits);
}
double canonical(double value) { return value; }

float flush(float value) {
  return std::bit_cast<u32>(value) << 1 < 0x01000000u ? std::bit_cast<float>(std::bit_cast<u32>(value) & 0x80000000u)
                                                      : value;
}
float saturate(float value) { return value > 0.0f ? (value < 1.0f ? value : 1.0f) : 0.0f; }

/// How operands and result are treated.
template <class T, bool Flush, bool Saturate>
struct Mode {
  using Value = T;
  static T in(T a) {
    if constexpr (Flush) return flush(a);
    return a;
  }
  static T out(T a) {
    if constexpr (Saturate) return saturate(a);
    if constexpr (Flush) return flush(canonical(a));
    return canonical(a);
  }
};

template <class M, class T = typename M::Value>
T add(T a, T b) {
  return M::out(M::in(a) + M::in(b));
}
template <class M, class T = typename M::Value>
T sub(T a, T b) {
  return M::out(M::in(a)-M::in(b));
}
template <class M, class T = typename M::Value>
T mul(T a, T b) {
  return M::out(M::in(a)*M::in(b));
}
template <class M, class T = typename M::Value>
T divide(T a, T b) {
  return M::out(M::in(a) / M::in(b));
}
template <class M, class T = typename M::Value>
T fused_add(T a, T b, T c) {
  return M::out(std::fma(M::in(a), M::in(b), M::in(c)));
}

/// Minimum and maximum order -0 before +0, and prefer a number to a NaN unless asked otherwise.
template <class T>
bool before(T a, T b) {
  return a < b || (a == b && std::signbit(a));
}
template <class M, bool Max, bool Nan, class T = typename M::Value>
T extreme(T x, T y) {
  const T a = M::in(x);
  const T b = M::in(y);
  if (a != a || b != b) {
    if (Nan || (a != a && b != b)) {
      return sizeof(T) == 4 ? static_cast<T>(std::bit_cast<float>(0x7fffffffu)) : (a != a ? a : b);
    }
    return a != a ? b : a;
  }
  return before(a, b) != Max ? a : b;
}
template <class M, class T = typename M::Value>
T absolute(T a) {
  return canonical(std::fabs(M::in(a)));
}
template <class M, class T = typename M::Value>
T negate(T a) {
  return canonical(-M::in(a));
}
template <class T>
T copy_sign(T a, T b) {
  return std::copysign(b, a);
}  // d = b with the sign of a

template <class M>
Handler pick_two(std::string_view op, bool nan) {
  using T = typename M::Value;
  if (op == "add") return binary<T, T, T, add<M>>;
  if (op == "sub") return binary<T, T, T, sub<M>>;
  if (op == "mul") return binary<T, T, T, mul<M>>;
  if (op == "div") return binary<T, T, T, divide<M>>;
  if (op == "min") return nan ? binary<T, T, T, extreme<M, false, true>> : binary<T, T, T, extreme<M, false, false>>;
  if (op == "max") return nan ? binary<T, T, T, extreme<M, true, true>> : binary<T, T, T, extreme<M, true, false>>;
  return nullptr;
}

// With the instruction in the processor, the product and sum need no call; chosen once, where it exists.
template <class M>
[[gnu::target("avx2,fma")]] void fused_fast(Warp& w, const Insn& in, u32 mask) {
  using T = typename M::Value;
  auto* d = slots<T>(w, in.d);
  const auto* a = slots<T>(w, in.a);
  const auto* b = slots<T>(w, in.b);
  const auto* c = slots<T>(w, in.c);
  if (mask == kAllLanes) {
    VGPU_LANES_INDEPENDENT
    for (u32 i = 0; i < kLanes; ++i) {
      T value;
      if constexpr (sizeof(T) == 4) {
        value = __builtin_fmaf(M::in(get<T>(a[i])), M::in(get<T>(b[i])), M::in(get<T>(c[i])));
      } else {
        value = __builtin_fma(M::in(get<T>(a[i])), M::in(get<T>(b[i])), M::in(get<T>(c[i])));
      }
      d[i] = put<T>(M::out(value));
    }
    return;
  }
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const auto i = static_cast<u32>(std::countr_zero(rest));
    T value;
    if constexpr (sizeof(T) == 4) {
      value = __builtin_fmaf(M::in(get<T>(a[i])), M::in(get<T>(b[i])), M::in(get<T>(c[i])));
    } else {
      value = __builtin_fma(M::in(get<T>(a[i])), M::in(get<T>(b[i])), M::in(get<T>(c[i])));
    }
    d[i] = put<T>(M::out(value));
  }
}

template <class M>
Handler pick_fused() {
  using T = typename M::Value;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return fused_fast<M>;
  return ternary<T, T, T, T, fused_add<M>>;
}

template <class F>
Handler by_mode(Type type, bool flushes, bool saturates, F f) {
  if (type == Type::f64) return f.template operator()<Mode<double, false, false>>();
  if (flushes && saturates) return f.template operator()<Mode<float, true, true>>();
  if (flushes) return f.template operator()<Mode<float, true, false>>();
  if (saturates) return f.template operator()<Mode<float, false, true>>();
  return f.template operator()<Mode<float, false, false>>();
}

u32 differing_sign(u32 a, u32 b) { return (a ^ b) & 0x80000000u; }
u32 with_sign(u32 magnitude, u32 sign) {
  // NaN is given as it is: its sign says nothing.
  return (magnitude & 0x7fffffffu) > 0x7f800000u ? magnitude : magnitude | sign;
}

/// The lesser or greater of two magnitudes, negative if just one of the operands is.
void decode_xorsign(Builder& b, const ast::Instruction& in, std::string_view op, bool flushes, bool nan) {
  const Ref a = b.read(in.operands[1], Type::f32);
  const Ref c = b.read(in.operands[2], Type::f32);
  const Ref sign = b.temporary(false);
  const Ref left = b.temporary(false);
  const Ref right = b.temporary(false);
  b.emit(binary<u32, u32, u32, differing_sign>, sign, a, c);
  b.emit(unary<float, float, absolute<Mode<float, false, false>>>, left, a);
  b.emit(unary<float, float, absolute<Mode<float, false, false>>>, right, c);
  b.emit(by_mode(Type::f32, flushes, false, [&]<class M>() -> Handler { return pick_two<M>(op, nan); }), left, left,
         right);
  b.emit(binary<u32, u32, u32, with_sign>, b.write(in.operands[0], Type::f32), left, sign);
}

}  // namespace

bool decode_float(Builder& b, Words& w) {
  const auto& in = w.instruction();
  const std::string_view op = in.opcode;
  const bool two = op == "add" || op == "sub" || op == "mul" || op == "div" || op == "min" || op == "max";
  const bool fused = op == "fma" || op == "mad";
  const bool one = op == "abs" || op == "neg";
  if (!two && !fused && !one && op != "copysign") return false;
  const Type type = w.take_type();
  if (type != Type::f32 && type != Type::f64) return false;
  if (op == "copysign") {
    b.need_operands(3);
    const Ref a = b.read(in.operands[1], type);
    const Ref c = b.read(in.operands[2], type);
    b.emit(type == Type::f64 ? binary<double, double, double, copy_sign<double>>
                             : binary<float, float, float, copy_sign<float>>,
           b.write(in.operands[0], type), a, c);
    return true;
  }
  const bool flushes = type == Type::f32 && w.take("ftz");
  const bool saturates = type == Type::f32 && (two || fused) && op != "min" && op != "max" && w.take("sat");
  if (one) {
    b.need_operands(2);
    const bool abs = op == "abs";
    const Handler run = by_mode(type, flushes, false, [&]<class M>() -> Handler {
      using T = typename M::Value;
      return abs ? unary<T, T, absolute<M>> : unary<T, T, negate<M>>;
    });
    const Ref a = b.read(in.operands[1], type);
    b.emit(run, b.write(in.operands[0], type), a);
    return true;
  }
  w.take("rn");
  if (op == "div") {
    // The approximations of a GPU are allowed to be exact.
    if (!w.take("approx")) w.take("full");
  }
  const bool extremes = (op == "min" || op == "max") && type == Type::f32;
  const bool nan = extremes && w.take("NaN");
  if (extremes && w.take("xorsign")) {
    b.need(w.take("abs"), "expected .abs");
    b.need_operands(3);
    decode_xorsign(b, in, op, flushes, nan);
    return true;
  }
  for (const std::string_view direction : {"rz", "rm", "rp"}) {
    if (!w.take(direction)) continue;
    b.need(op != "min" && op != "max", "this modifier is not carried here");
    const Round mode = direction == "rz" ? Round::zero : direction == "rm" ? Round::down : Round::up;
    b.need_operands(fused ? 4 : 3);
    const Ref a = b.read(in.operands[1], type);
    const Ref c = b.read(in.operands[2], type);
    const Ref e = fused ? b.read(in.operands[3], type) : kNoRef;
    const std::uint8_t flags = (flushes ? kFlush : 0) | (saturates ? kSaturate : 0);
    b.emit(directed_handler(op, type, mode), b.write(in.operands[0], type), a, c, e).flags = flags;
    return true;
  }
  b.need_operands(fused ? 4 : 3);
  const Handler run = by_mode(type, flushes, saturates,
                              [&]<class M>() -> Handler { return fused ? pick_fused<M>() : pick_two<M>(op, nan); });
  const Ref a = b.read(in.operands[1], type);
  const Ref c = b.read(in.operands[2], type);
  const Ref e = fused ? b.read(in.operands[3], type) : kNoRef;
  b.emit(run, b.write(in.operands[0], type), a, c, e);
  return true;
}

}  // namespace vgpu::softgpu::ptx
