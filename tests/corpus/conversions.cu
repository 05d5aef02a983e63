// Conversions between every two of the number types, in each rounding mode, saturated as cvt defines it.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cfenv>

#include "corpus.hpp"

namespace {

using s64 = long long;
using u64 = unsigned long long;

/// cvt from a float to an integer: rounds in the mode, clamps to the target's range, NaN becomes 0 (where either side
/// has 64 bits: the top bit alone).
template <class To, class From>
To to_integer(From x, int mode) {
  if (std::isnan(x))
    return sizeof(To) == 8 || sizeof(From) == 8 ? static_cast<To>(1ull << (8 * sizeof(To) - 1)) : To{0};
  std::fesetround(mode);
  const long double rounded = std::nearbyint(static_cast<long double>(x));
  std::fesetround(FE_TONEAREST);
  if (rounded <= static_cast<long double>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
  if (rounded >= static_cast<long double>(std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
  return static_cast<To>(rounded);
}

template <class To, class From>
To in_mode(From x, int mode) {
  std::fesetround(mode);
  volatile From from = x;
  volatile To to = static_cast<To>(from);
  std::fesetround(FE_TONEAREST);
  return to;
}

/// A binary float of 16 bits with so many bits of fraction, to nearest even, from a double.
std::uint16_t to_16_bits(double x, int fraction, int mode = FE_TONEAREST) {
  const int bias = fraction == 10 ? 15 : 127;
  const std::uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  if (std::isnan(x)) return 0x7fff;
  const std::uint16_t infinity = static_cast<std::uint16_t>((2 * bias + 1) << fraction);
  if (std::isinf(x)) return sign | infinity;
  int exponent = 0;
  std::frexp(x, &exponent);
  const int last = std::max(exponent - 1, 1 - bias) - fraction;
  const int effective = std::signbit(x) ? (mode == FE_UPWARD     ? FE_DOWNWARD
                                           : mode == FE_DOWNWARD ? FE_UPWARD
                                                                 : mode)
                                        : mode;
  std::fesetround(effective);
  const double steps = std::nearbyint(std::ldexp(std::fabs(x), -last));
  std::fesetround(FE_TONEAREST);
  const double value = std::ldexp(steps, last);
  const double largest = std::ldexp(2.0 - std::ldexp(1.0, -fraction), bias);
  if (value > largest) return sign | (effective == FE_TOWARDZERO || effective == FE_DOWNWARD ? infinity - 1 : infinity);
  if (value == 0) return sign;
  std::frexp(value, &exponent);
  if (exponent - 1 < 1 - bias) return sign | static_cast<std::uint16_t>(std::ldexp(value, bias - 1 + fraction));
  return sign | static_cast<std::uint16_t>(((exponent - 1 + bias) << fraction) +
                                           (std::ldexp(value, fraction - exponent + 1) - std::ldexp(1.0, fraction)));
}

float from_half(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const int fraction = bits & 1023;
  const float value = exponent == 31  ? (fraction ? NAN : INFINITY)
                      : exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                      : std::ldexp(1.0f + fraction / 1024.0f, exponent - 15);
  return bits & 0x8000 ? -value : value;
}

}  // namespace

#define TO_INTEGER(From, from, To, to, mode, suffix, intrinsic) \
  ELEMENTWISE(from##_to_##to##_##suffix, To, From, intrinsic##_##suffix(x), (to_integer<To, From>(x, mode)))
#define FROM_INTEGER(From, from, To, to, mode, suffix, intrinsic) \
  ELEMENTWISE(from##_to_##to##_##suffix, To, From, intrinsic##_##suffix(x), (in_mode<To, From>(x, mode)))
#define MODES(mode, suffix)                                                                                       \
  TO_INTEGER(float, float, int, int, mode, suffix, __float2int)                                                   \
  TO_INTEGER(float, float, unsigned, uint, mode, suffix, __float2uint)                                            \
  TO_INTEGER(float, float, s64, ll, mode, suffix, __float2ll)                                                     \
  TO_INTEGER(float, float, u64, ull, mode, suffix, __float2ull)                                                   \
  TO_INTEGER(double, double, int, int, mode, suffix, __double2int)                                                \
  TO_INTEGER(double, double, unsigned, uint, mode, suffix, __double2uint)                                         \
  TO_INTEGER(double, double, s64, ll, mode, suffix, __double2ll)                                                  \
  TO_INTEGER(double, double, u64, ull, mode, suffix, __double2ull)                                                \
  FROM_INTEGER(int, int, float, float, mode, suffix, __int2float)                                                 \
  FROM_INTEGER(unsigned, uint, float, float, mode, suffix, __uint2float)                                          \
  FROM_INTEGER(s64, ll, float, float, mode, suffix, __ll2float)                                                   \
  FROM_INTEGER(u64, ull, float, float, mode, suffix, __ull2float)                                                 \
  FROM_INTEGER(s64, ll, double, double, mode, suffix, __ll2double)                                                \
  FROM_INTEGER(u64, ull, double, double, mode, suffix, __ull2double)                                              \
  FROM_INTEGER(double, double, float, float, mode, suffix, __double2float)                                        \
  ELEMENTWISE(float_to_half_##suffix, std::uint16_t, float, __half_as_ushort(__float2half_##suffix(x)),           \
              to_16_bits(x, 10, mode))                                                                            \
  ELEMENTWISE(float_to_bfloat_##suffix, std::uint16_t, float, __bfloat16_as_ushort(__float2bfloat16_##suffix(x)), \
              to_16_bits(x, 7, mode))                                                                             \
  static void run_##suffix() {                                                                                    \
    const auto floats = corpus::any_floats(kCount);                                                               \
    const auto doubles = corpus::any_doubles(kCount);                                                             \
    const auto ints = corpus::any_bits<int>(kCount);                                                              \
    const auto uints = corpus::any_bits<unsigned>(kCount);                                                        \
    const auto lls = corpus::any_bits<s64>(kCount);                                                               \
    const auto ulls = corpus::any_bits<u64>(kCount);                                                              \
    RUN_EXACT(float_to_int_##suffix, floats);                                                                     \
    RUN_EXACT(float_to_uint_##suffix, floats);                                                                    \
    RUN_EXACT(float_to_ll_##suffix, floats);                                                                      \
    RUN_EXACT(float_to_ull_##suffix, floats);                                                                     \
    RUN_EXACT(double_to_int_##suffix, doubles);                                                                   \
    RUN_EXACT(double_to_uint_##suffix, doubles);                                                                  \
    RUN_EXACT(double_to_ll_##suffix, doubles);                                                                    \
    RUN_EXACT(double_to_ull_##suffix, doubles);                                                                   \
    RUN_NUMBERS(int_to_float_##suffix, ints);                                                                     \
    RUN_NUMBERS(uint_to_float_##suffix, uints);                                                                   \
    RUN_NUMBERS(ll_to_float_##suffix, lls);                                                                       \
    RUN_NUMBERS(ull_to_float_##suffix, ulls);                                                                     \
    RUN_NUMBERS(ll_to_double_##suffix, lls);                                                                      \
    RUN_NUMBERS(ull_to_double_##suffix, ulls);                                                                    \
    RUN_NUMBERS(double_to_float_##suffix, doubles);                                                               \
    RUN_EXACT(float_to_half_##suffix, floats);                                                                    \
    RUN_EXACT(float_to_bfloat_##suffix, floats);                                                                  \
  }

constexpr std::size_t kCount = 600;
MODES(FE_TONEAREST, rn)
MODES(FE_TOWARDZERO, rz)
MODES(FE_UPWARD, ru)
MODES(FE_DOWNWARD, rd)

#define SATURATED(name, type, letter, constraint, wide)                                                   \
  __device__ wide name##_device(float x) {                                                                \
    wide d;                                                                                               \
    asm("{ .reg ." letter " t; cvt.rni.sat." letter ".f32 t, %1; cvt." #constraint "." letter " %0, t; }" \
        : "=r"(d)                                                                                         \
        : "f"(x));                                                                                        \
    return d;                                                                                             \
  }                                                                                                       \
  ELEMENTWISE(name, wide, float, name##_device(x), (to_integer<type, float>(x, FE_TONEAREST)))
SATURATED(float_to_s8, std::int8_t, "s8", s32, int)
SATURATED(float_to_u8, std::uint8_t, "u8", u32, unsigned)
SATURATED(float_to_s16, std::int16_t, "s16", s32, int)
SATURATED(float_to_u16, std::uint16_t, "u16", u32, unsigned)

__device__ int narrow_sat(long long x) {
  int d;
  asm("cvt.sat.s32.s64 %0, %1;" : "=r"(d) : "l"(x));
  return d;
}
__device__ unsigned narrow_sat_u(int x) {
  unsigned d;
  asm("cvt.sat.u32.s32 %0, %1;" : "=r"(d) : "r"(x));
  return d;
}
ELEMENTWISE(narrow_s64, int, s64, narrow_sat(x >> (y & 63)),
            static_cast<int>(std::min<s64>(std::max<s64>(x >> (y & 63), INT32_MIN), INT32_MAX)))
ELEMENTWISE(narrow_sign, unsigned, int, narrow_sat_u(x), static_cast<unsigned>(x < 0 ? 0 : x))
ELEMENTWISE(widen, s64, int,
            static_cast<signed char>(x) * 1000000007ll + static_cast<unsigned char>(y) * 131ll + static_cast<short>(z) +
                static_cast<s64>(static_cast<unsigned short>(x)) * 17,
            static_cast<signed char>(x) * 1000000007ll + static_cast<unsigned char>(y) * 131ll + static_cast<short>(z) +
                static_cast<s64>(static_cast<unsigned short>(x)) * 17)
ELEMENTWISE(int_to_double, double, int, static_cast<double>(x) + static_cast<unsigned>(y),
            static_cast<double>(x) + static_cast<unsigned>(y))
ELEMENTWISE(float_to_double, double, float, static_cast<double>(x), static_cast<double>(x))
ELEMENTWISE(half_to_float, float, std::uint16_t, __half2float(__ushort_as_half(x)), from_half(x))
ELEMENTWISE(bfloat_to_float, float, std::uint16_t, __bfloat162float(__ushort_as_bfloat16(x)), [&] {
  const std::uint32_t bits = static_cast<std::uint32_t>(x) << 16;
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}())
ELEMENTWISE(double_to_half, std::uint16_t, double, __half_as_ushort(__double2half(x)), to_16_bits(x, 10))
ELEMENTWISE(int_to_half, std::uint16_t, int, __half_as_ushort(__int2half_rn(x >> (y & 31))),
            to_16_bits(x >> (y & 31), 10))
ELEMENTWISE(half_to_int, int, std::uint16_t, __half2int_rn(__ushort_as_half(x)),
            (to_integer<int, float>(from_half(x), FE_TONEAREST)))
ELEMENTWISE(reinterpret, u64, double,
            static_cast<u64>(__double_as_longlong(x)) ^ static_cast<u64>(__float_as_int(1.0f)) ^
                (static_cast<u64>(static_cast<unsigned>(__double2hiint(y))) << 32) ^
                static_cast<unsigned>(__double2loint(z)),
            [&] {
              u64 a;
              u64 b;
              u64 c;
              std::memcpy(&a, &x, 8);
              std::memcpy(&b, &y, 8);
              std::memcpy(&c, &z, 8);
              return a ^ 0x3f800000u ^ (b >> 32 << 32) ^ (c & 0xffffffffu);
            }())

int main() {
  run_rn();
  run_rz();
  run_ru();
  run_rd();
  const auto floats = corpus::any_floats(kCount);
  RUN_EXACT(float_to_s8, floats);
  RUN_EXACT(float_to_u8, floats);
  RUN_EXACT(float_to_s16, floats);
  RUN_EXACT(float_to_u16, floats);
  RUN_EXACT(narrow_s64, corpus::any_bits<s64>(kCount));
  RUN_EXACT(narrow_sign, corpus::any_bits<int>(kCount));
  RUN_EXACT(widen, corpus::any_bits<int>(kCount));
  RUN_EXACT(int_to_double, corpus::any_bits<int>(kCount));
  RUN_NUMBERS(float_to_double, floats);
  std::vector<std::uint16_t> all(65536);
  for (unsigned i = 0; i < all.size(); ++i) all[i] = static_cast<std::uint16_t>(i);
  RUN_NUMBERS(half_to_float, all);
  RUN_NUMBERS(bfloat_to_float, all);
  // Which NaN a double becomes is nowhere written.
  auto numbers = corpus::any_doubles(kCount);
  for (double& value : numbers) value = std::isnan(value) ? 1.5 : value;
  RUN_EXACT(double_to_half, numbers);
  RUN_EXACT(int_to_half, corpus::any_bits<int>(kCount));
  RUN_EXACT(half_to_int, all);
  RUN_EXACT(reinterpret, corpus::any_doubles(kCount));
  std::printf("conversions: ok\n");
}
