// float and double arithmetic: each rounding mode, saturation, fused multiply-add, subnormals flushed or not,
// comparisons.
#include <cfenv>

#include "corpus.hpp"

namespace {

/// The host's own arithmetic under a rounding mode.
template <class F>
auto rounded(int mode, F f) {
  std::fesetround(mode);
  const auto result = f();
  std::fesetround(FE_TONEAREST);
  return result;
}

template <class T>
T add(T a, T b) {
  volatile T x = a, y = b;
  volatile T r = x + y;
  return r;
}
template <class T>
T mul(T a, T b) {
  volatile T x = a, y = b;
  volatile T r = x * y;
  return r;
}
template <class T>
T divide(T a, T b) {
  volatile T x = a, y = b;
  volatile T r = x / y;
  return r;
}
template <class T>
T root(T a) {
  volatile T x = a;
  volatile T r = std::sqrt(x);
  return r;
}
template <class T>
T fused(T a, T b, T c) {
  volatile T x = a, y = b, z = c;
  volatile T r = std::fma(x, y, z);
  return r;
}

float flush(float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x; }
/// A NaN is no number to compare with, a signaling one neither; -0 is less than 0.
template <class T>
T least_of(T x, T y) {
  if (std::isnan(x)) return y;
  if (std::isnan(y)) return x;
  return x == y ? (std::signbit(x) ? x : y) : x < y ? x : y;
}

float saturate(float x) { return std::isnan(x) ? 0.0f : x <= 0 ? 0.0f : x > 1 ? 1.0f : x; }
unsigned order(double x, double y) {
  const bool open = std::isnan(x) || std::isnan(y);
  return (x < y) | (x <= y) << 1 | (x == y) << 2 | (x != y) << 3 | (x > y) << 4 | (x >= y) << 5 | open << 6;
}

}  // namespace

#define BY_MODE(mode, suffix)                                                                                          \
  ELEMENTWISE(float_add_##suffix, float, float, __fadd_##suffix(x, y), rounded(mode, [&] { return add(x, y); }))       \
  ELEMENTWISE(float_mul_##suffix, float, float, __fmul_##suffix(x, y), rounded(mode, [&] { return mul(x, y); }))       \
  ELEMENTWISE(float_fma_##suffix, float, float, __fmaf_##suffix(x, y, z),                                              \
              rounded(mode, [&] { return fused(x, y, z); }))                                                           \
  ELEMENTWISE(float_div_##suffix, float, float, __fdiv_##suffix(x, y), rounded(mode, [&] { return divide(x, y); }))    \
  ELEMENTWISE(float_rcp_##suffix, float, float, __frcp_##suffix(x), rounded(mode, [&] { return divide(1.0f, x); }))    \
  ELEMENTWISE(float_sqrt_##suffix, float, float, __fsqrt_##suffix(fabsf(x)),                                           \
              rounded(mode, [&] { return root(std::fabs(x)); }))                                                       \
  ELEMENTWISE(double_add_##suffix, double, double, __dadd_##suffix(x, y), rounded(mode, [&] { return add(x, y); }))    \
  ELEMENTWISE(double_mul_##suffix, double, double, __dmul_##suffix(x, y), rounded(mode, [&] { return mul(x, y); }))    \
  ELEMENTWISE(double_fma_##suffix, double, double, __fma_##suffix(x, y, z),                                            \
              rounded(mode, [&] { return fused(x, y, z); }))                                                           \
  ELEMENTWISE(double_div_##suffix, double, double, __ddiv_##suffix(x, y), rounded(mode, [&] { return divide(x, y); })) \
  ELEMENTWISE(double_sqrt_##suffix, double, double, __dsqrt_##suffix(fabs(x)),                                         \
              rounded(mode, [&] { return root(std::fabs(x)); }))                                                       \
  static void run_##suffix(const std::vector<float>& floats, const std::vector<double>& doubles) {                     \
    RUN_NUMBERS(float_add_##suffix, floats);                                                                           \
    RUN_NUMBERS(float_mul_##suffix, floats);                                                                           \
    RUN_NUMBERS(float_fma_##suffix, floats);                                                                           \
    RUN_NUMBERS(float_div_##suffix, floats);                                                                           \
    RUN_NUMBERS(float_rcp_##suffix, floats);                                                                           \
    RUN_NUMBERS(float_sqrt_##suffix, floats);                                                                          \
    RUN_NUMBERS(double_add_##suffix, doubles);                                                                         \
    RUN_NUMBERS(double_mul_##suffix, doubles);                                                                         \
    RUN_NUMBERS(double_fma_##suffix, doubles);                                                                         \
    RUN_NUMBERS(double_div_##suffix, doubles);                                                                         \
    RUN_NUMBERS(double_sqrt_##suffix, doubles);                                                                        \
  }

BY_MODE(FE_TONEAREST, rn)
BY_MODE(FE_TOWARDZERO, rz)
BY_MODE(FE_UPWARD, ru)
BY_MODE(FE_DOWNWARD, rd)

__device__ float add_ftz(float x, float y) {
  float d;
  asm("add.ftz.f32 %0, %1, %2;" : "=f"(d) : "f"(x), "f"(y));
  return d;
}
__device__ float mul_ftz(float x, float y) {
  float d;
  asm("mul.rn.ftz.f32 %0, %1, %2;" : "=f"(d) : "f"(x), "f"(y));
  return d;
}
__device__ float add_sat(float x, float y) {
  float d;
  asm("add.sat.f32 %0, %1, %2;" : "=f"(d) : "f"(x), "f"(y));
  return d;
}
__device__ float fma_sat(float x, float y, float z) {
  float d;
  asm("fma.rn.sat.f32 %0, %1, %2, %3;" : "=f"(d) : "f"(x), "f"(y), "f"(z));
  return d;
}
__device__ float min_ftz(float x, float y) {
  float d;
  asm("min.ftz.f32 %0, %1, %2;" : "=f"(d) : "f"(x), "f"(y));
  return d;
}
__device__ float copysign_ptx(float x, float y) {
  float d;
  asm("copysign.f32 %0, %1, %2;" : "=f"(d) : "f"(x), "f"(y));
  return d;
}
__device__ unsigned testp(float x) {
  unsigned d;
  asm("{ .reg .pred p, q, r, s, t; .reg .u32 a; testp.finite.f32 p, %1; testp.infinite.f32 q, %1; testp.number.f32 r, "
      "%1;"
      " testp.notanumber.f32 s, %1; testp.subnormal.f32 t, %1; selp.u32 %0, 1, 0, p; selp.u32 a, 2, 0, q; or.b32 %0, "
      "%0, a;"
      " selp.u32 a, 4, 0, r; or.b32 %0, %0, a; selp.u32 a, 8, 0, s; or.b32 %0, %0, a; selp.u32 a, 16, 0, t; or.b32 %0, "
      "%0, a; }"
      : "=r"(d)
      : "f"(x));
  return d;
}

ELEMENTWISE(flush_add, float, float, add_ftz(x * 0x1p-30f, y * 0x1p-30f),
            flush(flush(x * 0x1p-30f) + flush(y * 0x1p-30f)))
ELEMENTWISE(flush_mul, float, float, mul_ftz(x, y), flush(flush(x) * flush(y)))
ELEMENTWISE(saturate_add, float, float, add_sat(x, y), saturate(x + y))
ELEMENTWISE(saturate_fma, float, float, fma_sat(x, y, z), saturate(std::fma(x, y, z)))
ELEMENTWISE(saturate_move, float, float, __saturatef(x), saturate(x))
ELEMENTWISE(least, float, float, fminf(x, y), least_of(x, y))
ELEMENTWISE(greatest, float, float, fmaxf(x, y), std::isnan(x) ? y : std::isnan(y) ? x : -least_of(-x, -y))
ELEMENTWISE(least_double, double, double, fmin(x, y), least_of(x, y))
ELEMENTWISE(flush_min, float, float, min_ftz(fabsf(x), fabsf(y)), least_of(flush(std::fabs(x)), flush(std::fabs(y))))
ELEMENTWISE(signs, float, float, copysign_ptx(x, y), std::copysign(y, x))
ELEMENTWISE(negate_absolute, double, double, fabs(x) - (-y > 0 ? 1.0 : 0.0), std::fabs(x) - (-y > 0 ? 1.0 : 0.0))
ELEMENTWISE(classes, unsigned, float, testp(x),
            static_cast<unsigned>(std::isfinite(x) | std::isinf(x) << 1 | !std::isnan(x) << 2 | std::isnan(x) << 3 |
                                  (std::fpclassify(x) == FP_SUBNORMAL) << 4))
ELEMENTWISE(compare_floats, unsigned, float,
            (x < y) | (x <= y) << 1 | (x == y) << 2 | (x != y) << 3 | (x > y) << 4 | (x >= y) << 5 |
                (isnan(x) || isnan(y)) << 6,
            order(x, y))
ELEMENTWISE(compare_doubles, unsigned, double,
            (x < y) | (x <= y) << 1 | (x == y) << 2 | (x != y) << 3 | (x > y) << 4 | (x >= y) << 5 |
                (isnan(x) || isnan(y)) << 6,
            order(x, y))
ELEMENTWISE(compare_unordered, unsigned, float,
            !(x < y) | !(x >= y) << 1 | !(x == z) << 2 | (isnan(y) || isnan(z)) << 3,
            static_cast<unsigned>(!(x < y) | !(x >= y) << 1 | !(x == z) << 2 | (std::isnan(y) || std::isnan(z)) << 3))
ELEMENTWISE(round_parts, float, float, truncf(x) + (floorf(y) * 2 + ceilf(z)) * 0,
            std::trunc(x) + (std::floor(y) * 2 + std::ceil(z)) * 0)
ELEMENTWISE(round_even, float, float, rintf(x), std::nearbyint(x))
ELEMENTWISE(round_away, double, double, round(x), std::round(x))
ELEMENTWISE(remainders, float, float, fmodf(x, y), std::fmod(x, y))
ELEMENTWISE(remainders_double, double, double, remainder(x, y), std::remainder(x, y))
ELEMENTWISE(scale_bits, double, double, scalbn(x, static_cast<int>(__double_as_longlong(y) & 127) - 64),
            std::scalbn(x, [&] {
              std::int64_t b;
              std::memcpy(&b, &y, 8);
              return static_cast<int>(b & 127) - 64;
            }()))
ELEMENTWISE(exponent_of, int, float, x == 0 || isnan(x) || isinf(x) ? -1000 : ilogbf(x),
            x == 0 || std::isnan(x) || std::isinf(x) ? -1000 : std::ilogb(x))
ELEMENTWISE(next_after, float, float, nextafterf(x, y), std::nextafter(x, y))

int main() {
  constexpr std::size_t n = 1500;
  const auto floats = corpus::any_floats(n);
  const auto doubles = corpus::any_doubles(n);
  run_rn(floats, doubles);
  run_rz(floats, doubles);
  run_ru(floats, doubles);
  run_rd(floats, doubles);
  RUN_NUMBERS(flush_add, floats);
  RUN_NUMBERS(flush_mul, floats);
  RUN_NUMBERS(saturate_add, floats);
  RUN_NUMBERS(saturate_fma, floats);
  RUN_NUMBERS(saturate_move, floats);
  RUN_NUMBERS(least, floats);
  RUN_NUMBERS(greatest, floats);
  RUN_NUMBERS(least_double, doubles);
  RUN_NUMBERS(flush_min, floats);
  RUN_NUMBERS(signs, floats);
  RUN_NUMBERS(negate_absolute, doubles);
  RUN_EXACT(classes, floats);
  RUN_EXACT(compare_floats, floats);
  RUN_EXACT(compare_doubles, doubles);
  RUN_EXACT(compare_unordered, floats);
  RUN_NUMBERS(round_parts, floats);
  RUN_NUMBERS(round_even, floats);
  RUN_NUMBERS(round_away, doubles);
  RUN_NUMBERS(remainders, floats);
  RUN_NUMBERS(remainders_double, doubles);
  RUN_NUMBERS(scale_bits, doubles);
  RUN_EXACT(exponent_of, floats);
  RUN_NUMBERS(next_after, floats);
  std::printf("floating: ok\n");
}
