#include <cmath>
#include <numbers>

#include "softgpu/ptx/builder.hpp"
#include "softgpu/ptx/lanes.hpp"
#include "softgpu/ptx/rounding.hpp"

/// Reciprocals, roots and transcendental functions. Where PTX allows an approximation, the result is at least as near
/// to the exact one as the GPU's: computed in double and rounded once.
namespace vgpu::softgpu::ptx {
namespace {

enum class Curve { rcp, sqrt, rsqrt, sin, cos, lg2, ex2, tanh };

template <Curve F>
double compute(double x) {
  if constexpr (F == Curve::rcp) return 1 / x;
  if constexpr (F == Curve::sqrt) return std::sqrt(x);
  if constexpr (F == Curve::rsqrt) return 1 / std::sqrt(x);
  if constexpr (F == Curve::sin) return std::sin(x);
  if constexpr (F == Curve::cos) return std::cos(x);
  if constexpr (F == Curve::lg2) return std::log2(x);
  if constexpr (F == Curve::ex2) return std::exp2(x);
  if constexpr (F == Curve::tanh) return std::tanh(x);
}

float flush(float value) { return std::fabs(value) < 0x1p-126f ? std::copysign(0.0f, value) : value; }

template <Curve F>
void on_float(Warp& w, const Insn& in, u32 mask) {
  auto* d = slots<float>(w, in.d);
  const auto* a = slots<float>(w, in.a);
  const bool flushes = (in.flags & kFlush) != 0;
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const auto i = static_cast<u32>(std::countr_zero(rest));
    const float x = get<float>(a[i]);
    auto y = static_cast<float>(compute<F>(static_cast<double>(flushes ? flush(x) : x)));
    if (y != y) y = std::bit_cast<float>(0x7fffffffu);
    d[i] = put<float>(flushes ? flush(y) : y);
  }
}
template <Curve F>
void on_double(Warp& w, const Insn& in, u32 mask) {
  auto* d = slots<double>(w, in.d);
  const auto* a = slots<double>(w, in.a);
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const auto i = static_cast<u32>(std::countr_zero(rest));
    d[i] = put<double>(compute<F>(get<double>(a[i])));
  }
}
/// rcp.approx.ftz.f64 and its like work on the upper word: the lower 32 bits of operand and result are zero.
template <Curve F>
void on_upper_word(Warp& w, const Insn& in, u32 mask) {
  auto* d = slots<double>(w, in.d);
  const auto* a = slots<double>(w, in.a);
  const auto treat = [](u64 bits) {
    bits &= 0xffffffff00000000u;
    return (bits & 0x7ff0000000000000u) == 0 ? bits & 0x8000000000000000u : bits;
  };
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const auto i = static_cast<u32>(std::countr_zero(rest));
    d[i] = treat(std::bit_cast<u64>(compute<F>(std::bit_cast<double>(treat(a[i])))));
  }
}
template <Curve F, class H>
void on_half(Warp& w, const Insn& in, u32 mask) {
  u32* d = slots<u32>(w, in.d);
  const u32* a = slots<u32>(w, in.a);
  const bool pair = in.count == 2;
  const auto one = [](u32 bits) {
    return u32{narrow<H>(compute<F>(static_cast<double>(to_float(H{static_cast<u16>(bits)})))).bits};
  };
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const auto i = static_cast<u32>(std::countr_zero(rest));
    d[i] = pair ? one(a[i]) | one(a[i] >> 16) << 16 : one(a[i]);
  }
}

template <Curve F>
Handler handler_for(Type type, bool upper_word) {
  switch (type) {
    case Type::f32:
      return on_float<F>;
    case Type::f64:
      if constexpr (F == Curve::rcp || F == Curve::rsqrt || F == Curve::sqrt) {
        return upper_word ? on_upper_word<F> : on_double<F>;
      }
      return nullptr;
    case Type::f16:
    case Type::f16x2:
      if constexpr (F == Curve::ex2 || F == Curve::tanh) return on_half<F, Half>;
      return nullptr;
    case Type::bf16:
    case Type::bf16x2:
      if constexpr (F == Curve::ex2 || F == Curve::tanh) return on_half<F, Brain>;
      return nullptr;
    default:
      return nullptr;
  }
}

}  // namespace

bool decode_math(Builder& b, Words& w) {
  const auto& in = w.instruction();
  const std::string_view op = in.opcode;
  static constexpr std::string_view kNames[] = {"rcp", "sqrt", "rsqrt", "sin", "cos", "lg2", "ex2", "tanh"};
  bool known = false;
  for (const std::string_view name : kNames) known = known || op == name;
  if (!known) return false;
  const bool approximate = w.take("approx");
  const bool flushes = w.take("ftz");
  const Type type = w.take_type();
  b.need_operands(2);
  const Ref a = b.read(in.operands[1], type);
  if (!approximate) {
    b.need(op == "rcp" || op == "sqrt", "expected .approx");
    Round mode = Round::nearest;
    if (w.take("rz")) mode = Round::zero;
    if (w.take("rm")) mode = Round::down;
    if (w.take("rp")) mode = Round::up;
    if (mode == Round::nearest) b.need(w.take("rn"), "expected a rounding");
    b.need(type == Type::f32 || type == Type::f64, "this type is not carried here");
    b.emit(directed_handler(op, type, mode), b.write(in.operands[0], type), a).flags = flushes ? kFlush : 0;
    return true;
  }
  const bool upper_word = type == Type::f64 && flushes;
  Handler run = nullptr;
  if (op == "rcp") run = handler_for<Curve::rcp>(type, upper_word);
  if (op == "sqrt") run = handler_for<Curve::sqrt>(type, upper_word);
  if (op == "rsqrt") run = handler_for<Curve::rsqrt>(type, upper_word);
  if (op == "sin") run = handler_for<Curve::sin>(type, upper_word);
  if (op == "cos") run = handler_for<Curve::cos>(type, upper_word);
  if (op == "lg2") run = handler_for<Curve::lg2>(type, upper_word);
  if (op == "ex2") run = handler_for<Curve::ex2>(type, upper_word);
  if (op == "tanh") run = handler_for<Curve::tanh>(type, upper_word);
  Insn& insn = b.emit(run, b.write(in.operands[0], type), a);
  insn.flags = flushes ? kFlush : 0;
  insn.count = type == Type::f16x2 || type == Type::bf16x2 ? 2 : 1;
  return true;
}

}  // namespace vgpu::softgpu::ptx
