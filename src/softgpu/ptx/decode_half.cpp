#include <cmath>

#include "softgpu/ptx/builder.hpp"
#include "softgpu/ptx/half_vector.hpp"
#include "softgpu/ptx/lanes.hpp"

/// Arithmetic on f16, bf16 and pairs of them (PTX ISA, "Half Precision Floating-Point Instructions"). Sums and products
/// of two are exact or rightly rounded in double; a fused product and sum is held exact by fused().
namespace vgpu::softgpu::ptx {
namespace {

enum class Op { add, sub, mul, fma, fma_relu, min, max, min_nan, max_nan, abs, neg };
enum Treat : std::uint8_t { kFlushHalf = 1, kSaturateHalf = 2, kXorSign = 4 };

template <class H>
constexpr u16 kNan = 0x7fff;

template <class H>
u16 flush(u16 bits) {
  const u16 exponent = std::is_same_v<H, Half> ? 0x7c00 : 0x7f80;
  return (bits & exponent) == 0 ? static_cast<u16>(bits & 0x8000) : bits;
}

template <class H, Op O>
u16 compute(u16 x, u16 y, u16 z, u32 flags) {
  if ((flags & kFlushHalf) != 0) {
    x = flush<H>(x);
    y = flush<H>(y);
    z = flush<H>(z);
  }
  u16 sign = 0;
  if ((flags & kXorSign) != 0) {
    sign = (x ^ y) & 0x8000;
    x &= 0x7fff;
    y &= 0x7fff;
  }
  if constexpr (O == Op::abs || O == Op::neg) {
    // Seen on an H100: of a NaN both give the one NaN that arithmetic gives.
    if ((x & 0x7fff) > (std::is_same_v<H, Half> ? 0x7c00 : 0x7f80)) return kNan<H>;
    return O == Op::abs ? x & 0x7fff : x ^ 0x8000;
  }
  const float a = to_float(H{x});
  const float b = to_float(H{y});
  if constexpr (O == Op::min || O == Op::max || O == Op::min_nan || O == Op::max_nan) {
    constexpr bool kPropagates = O == Op::min_nan || O == Op::max_nan;
    if (a != a || b != b) {
      if (kPropagates || (a != a && b != b)) return kNan<H>;
      return (a != a ? y : x) | sign;
    }
    const bool first = a < b || (a == b && std::signbit(a));
    return (first == (O == Op::min || O == Op::min_nan) ? x : y) | sign;
  }
  double value = 0;
  const auto wide_a = static_cast<double>(a);
  const auto wide_b = static_cast<double>(b);
  // A sum of bfloats can span more bits than a double has.
  if constexpr (O == Op::add) value = fused(wide_a, 1.0, wide_b);
  if constexpr (O == Op::sub) value = fused(wide_a, 1.0, -wide_b);
  if constexpr (O == Op::mul) value = wide_a * wide_b;
  if constexpr (O == Op::fma || O == Op::fma_relu) value = fused(wide_a, wide_b, static_cast<double>(to_float(H{z})));
  if ((flags & kSaturateHalf) != 0) value = value > 0 ? (value < 1 ? value : 1.0) : 0.0;
  if (O == Op::fma_relu && !(value > 0) && value == value) value = 0;
  u16 out = narrow<H>(value).bits;
  if ((flags & kFlushHalf) != 0) out = flush<H>(out);
  return out;
}

template <class H, Op O>
void half(Warp& w, const Insn& in, u32 mask) {
  u32* d = slots<u32>(w, in.d);
  const u32* a = slots<u32>(w, in.a);
  const u32* b = in.b != kNoRef ? slots<u32>(w, in.b) : a;
  const u32* c = in.c != kNoRef ? slots<u32>(w, in.c) : a;
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const auto i = static_cast<u32>(std::countr_zero(rest));
    u32 out = 0;
    for (u32 shift = 0; shift < 16u * in.count; shift += 16) {
      const auto part = [&](const u32* from) { return static_cast<u16>(from[i] >> shift); };
      out |= u32{compute<H, O>(part(a), part(b), part(c), in.flags)} << shift;
    }
    d[i] = out;
  }
}

template <class H>
Handler pick(std::string_view op, bool nan, bool relu) {
  if (op == "add") return half<H, Op::add>;
  if (op == "sub") return half<H, Op::sub>;
  if (op == "mul") return half<H, Op::mul>;
  if (op == "fma") return relu ? half<H, Op::fma_relu> : half<H, Op::fma>;
  if (op == "min") return nan ? half<H, Op::min_nan> : half<H, Op::min>;
  if (op == "max") return nan ? half<H, Op::max_nan> : half<H, Op::max>;
  if (op == "abs") return half<H, Op::abs>;
  if (op == "neg") return half<H, Op::neg>;
  return nullptr;
}

}  // namespace

bool decode_half(Builder& b, Words& w) {
  const auto& in = w.instruction();
  const std::string_view op = in.opcode;
  static constexpr std::string_view kNames[] = {"add", "sub", "mul", "fma", "min", "max", "abs", "neg"};
  bool known = false;
  for (const std::string_view name : kNames) known = known || op == name;
  if (!known) return false;
  const Type type = w.take_type();
  const bool halves = type == Type::f16 || type == Type::f16x2;
  const bool brains = type == Type::bf16 || type == Type::bf16x2;
  if (!halves && !brains) return false;
  w.take("rn");
  w.take("rnd");
  const bool flushes = halves && w.take("ftz");
  const bool saturates = halves && op != "min" && op != "max" && op != "abs" && op != "neg" && w.take("sat");
  const bool nan = (op == "min" || op == "max") && w.take("NaN");
  const bool xor_sign = (op == "min" || op == "max") && w.take("xorsign");
  if (xor_sign) b.need(w.take("abs"), "expected .abs");
  const bool relu = op == "fma" && w.take("relu");
  const bool one = op == "abs" || op == "neg";
  const bool three = op == "fma";
  b.need_operands(one ? 2 : three ? 4 : 3);
  const Ref a = b.read(in.operands[1], type);
  const Ref c = one ? kNoRef : b.read(in.operands[2], type);
  const Ref e = three ? b.read(in.operands[3], type) : kNoRef;
  Insn& insn =
      b.emit(halves ? pick<Half>(op, nan, relu) : pick<Brain>(op, nan, relu), b.write(in.operands[0], type), a, c, e);
  insn.flags = static_cast<std::uint8_t>((flushes ? kFlushHalf : 0) | (saturates ? kSaturateHalf : 0) |
                                         (xor_sign ? kXorSign : 0));
  insn.count = type == Type::f16x2 || type == Type::bf16x2 ? 2 : 1;
  if (const Handler vector = half_vector(op, brains); vector != nullptr && insn.flags == 0 && !relu) {
    insn.imm = reinterpret_cast<std::uint64_t>(insn.run);
    insn.run = vector;
  }
  return true;
}

}  // namespace vgpu::softgpu::ptx
