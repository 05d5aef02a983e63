#include "softgpu/ptx/rounding.hpp"

#include <cfenv>
#include <cmath>

#include "softgpu/ptx/lanes.hpp"

namespace vgpu::softgpu::ptx {
namespace {

class Rounding {
 public:
  explicit Rounding(Round mode) noexcept : before_(std::fegetround()) {
    std::fesetround(mode == Round::zero   ? FE_TOWARDZERO
                    : mode == Round::down ? FE_DOWNWARD
                    : mode == Round::up   ? FE_UPWARD
                                          : FE_TONEAREST);
  }
  ~Rounding() { std::fesetround(before_); }
  Rounding(const Rounding&) = delete;
  Rounding& operator=(const Rounding&) = delete;

 private:
  int before_;
};

enum class Op { add, sub, mul, div, fma, sqrt, rcp };

template <class T>
T treat(T value, bool flush) noexcept {
  if constexpr (sizeof(T) == 4) {
    if (flush && std::fabs(value) < 0x1p-126f) return std::copysign(T{0}, value);
  }
  return value;
}

template <class T, Op O, Round R>
void arithmetic(Warp& w, const Insn& in, u32 mask) {
  const Rounding rounding(R);
  const bool flush = (in.flags & kFlush) != 0;
  auto* d = slots<T>(w, in.d);
  const auto* a = slots<T>(w, in.a);
  const auto* b = in.b != kNoRef ? slots<T>(w, in.b) : a;
  const auto* c = in.c != kNoRef ? slots<T>(w, in.c) : a;
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const auto i = static_cast<u32>(std::countr_zero(rest));
    // volatile: the operation must neither be moved out of the changed mode nor be done in advance.
    volatile T x = treat(get<T>(a[i]), flush);
    volatile T y = treat(get<T>(b[i]), flush);
    volatile T z = treat(get<T>(c[i]), flush);
    volatile T result;
    if constexpr (O == Op::add) result = x + y;
    if constexpr (O == Op::sub) result = x - y;
    if constexpr (O == Op::mul) result = x * y;
    if constexpr (O == Op::div) result = x / y;
    if constexpr (O == Op::fma) result = std::fma(T{x}, T{y}, T{z});
    if constexpr (O == Op::sqrt) result = std::sqrt(T{x});
    if constexpr (O == Op::rcp) result = T{1} / x;
    (void)z;
    T value = treat(T{result}, flush);
    if constexpr (sizeof(T) == 4) {
      if (value != value) value = std::bit_cast<float>(0x7fffffffu);
      if ((in.flags & kSaturate) != 0) value = value > 0 ? (value < 1 ? value : T{1}) : T{0};
    }
    d[i] = put<T>(value);
  }
}

template <class T, Op O>
Handler by_round(Round mode) {
  switch (mode) {
    case Round::zero:
      return arithmetic<T, O, Round::zero>;
    case Round::down:
      return arithmetic<T, O, Round::down>;
    case Round::up:
      return arithmetic<T, O, Round::up>;
    default:
      return arithmetic<T, O, Round::nearest>;
  }
}
template <class T>
Handler by_op(std::string_view op, Round mode) {
  if (op == "add") return by_round<T, Op::add>(mode);
  if (op == "sub") return by_round<T, Op::sub>(mode);
  if (op == "mul") return by_round<T, Op::mul>(mode);
  if (op == "div") return by_round<T, Op::div>(mode);
  if (op == "fma" || op == "mad") return by_round<T, Op::fma>(mode);
  if (op == "sqrt") return by_round<T, Op::sqrt>(mode);
  if (op == "rcp") return by_round<T, Op::rcp>(mode);
  return nullptr;
}

template <class To, class From, Round R>
void conversion(Warp& w, const Insn& in, u32 mask) {
  const Rounding rounding(R);
  auto* d = slots<To>(w, in.d);
  const auto* a = slots<From>(w, in.a);
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const auto i = static_cast<u32>(std::countr_zero(rest));
    volatile From x = get<From>(a[i]);
    volatile To result = static_cast<To>(x);
    d[i] = put<To>(To{result});
  }
}
template <class To, class From>
Handler convert_by(Round mode) {
  switch (mode) {
    case Round::zero:
      return conversion<To, From, Round::zero>;
    case Round::down:
      return conversion<To, From, Round::down>;
    case Round::up:
      return conversion<To, From, Round::up>;
    default:
      return conversion<To, From, Round::nearest>;
  }
}
template <class To>
Handler convert_from(Type from, Round mode) {
  switch (from) {
    case Type::s32:
      return convert_by<To, s32>(mode);
    case Type::u32:
      return convert_by<To, u32>(mode);
    case Type::s64:
      return convert_by<To, s64>(mode);
    case Type::u64:
      return convert_by<To, u64>(mode);
    case Type::f64:
      return convert_by<To, double>(mode);
    case Type::f32:
      return convert_by<To, float>(mode);
    default:
      return nullptr;
  }
}

}  // namespace

Handler directed_handler(std::string_view op, Type type, Round mode) noexcept {
  return type == Type::f64 ? by_op<double>(op, mode) : by_op<float>(op, mode);
}

Handler directed_conversion(Type to, Type from, Round mode) noexcept {
  return to == Type::f64 ? convert_from<double>(from, mode) : convert_from<float>(from, mode);
}

}  // namespace vgpu::softgpu::ptx
