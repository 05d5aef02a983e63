// half and bfloat16: arithmetic, fused multiply-add, saturation, comparison, minimum and maximum, in pairs and alone.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "corpus.hpp"

using u16 = std::uint16_t;
using u32 = unsigned;

namespace {

float half_value(u16 bits) { return __half2float(__half(__half_raw{bits})); }
u16 half_bits(double value) { return __half_raw(__double2half(value)).x; }
float bfloat_value(u16 bits) { return __bfloat162float(__nv_bfloat16(__nv_bfloat16_raw{bits})); }
/// Through a double: for sums and products of two of these numbers it rounds once only.
u16 bfloat_bits(double value) { return __nv_bfloat16_raw(__double2bfloat16(value)).x; }

template <class F>
u32 of_both(u32 x, u32 y, F f) {
  return static_cast<u32>(f(static_cast<u16>(x), static_cast<u16>(y))) |
         static_cast<u32>(f(static_cast<u16>(x >> 16), static_cast<u16>(y >> 16))) << 16;
}

/// Numbers whose sums and products are no NaN and, in a double, exact.
std::vector<u32> pairs(std::size_t count, u32 exponent_mask) {
  auto values = corpus::any_bits<u32>(count, 5);
  for (u32& value : values) value &= exponent_mask;
  return values;
}

}  // namespace

#define H2(x) (*reinterpret_cast<const __half2*>(&(x)))
#define B2(x) (*reinterpret_cast<const __nv_bfloat162*>(&(x)))
__device__ u32 bits_of(__half2 v) { return *reinterpret_cast<u32*>(&v); }
__device__ u32 bits_of(__nv_bfloat162 v) { return *reinterpret_cast<u32*>(&v); }

ELEMENTWISE(half_add, u32, u32, bits_of(__hadd2_rn(H2(x), H2(y))),
            of_both(x, y, [](u16 a, u16 b) { return half_bits(static_cast<double>(half_value(a)) + half_value(b)); }))
ELEMENTWISE(half_sub, u32, u32, bits_of(__hsub2_rn(H2(x), H2(y))),
            of_both(x, y, [](u16 a, u16 b) { return half_bits(static_cast<double>(half_value(a)) - half_value(b)); }))
ELEMENTWISE(half_mul, u32, u32, bits_of(__hmul2_rn(H2(x), H2(y))),
            of_both(x, y, [](u16 a, u16 b) { return half_bits(static_cast<double>(half_value(a)) * half_value(b)); }))
ELEMENTWISE(half_fma, u32, u32, bits_of(__hfma2(H2(x), H2(y), H2(x))), of_both(x, y, [](u16 a, u16 b) {
              return half_bits(static_cast<double>(half_value(a)) * half_value(b) + half_value(a));
            }))
ELEMENTWISE(half_saturate, u32, u32, bits_of(__hadd2_sat(H2(x), H2(y))), of_both(x, y, [](u16 a, u16 b) {
              const double s = static_cast<double>(half_value(a)) + half_value(b);
              return half_bits(s < 0 ? 0.0 : s > 1 ? 1.0 : s + 0.0);
            }))
ELEMENTWISE(half_negate, u32, u32, bits_of(__hneg2(H2(x))) ^ bits_of(__habs2(H2(y))),
            x ^ 0x80008000u ^ (y & 0x7fff7fffu))
ELEMENTWISE(half_compare, u32, u32,
            (__hlt(H2(x).x, H2(y).x) ? 1u : 0u) | (__hge(H2(x).y, H2(y).y) ? 2u : 0u) |
                (__heq(H2(x).x, H2(x).x) ? 4u : 0u) | (__hbgt2(H2(x), H2(y)) ? 8u : 0u),
            (half_value(static_cast<u16>(x)) < half_value(static_cast<u16>(y)) ? 1u : 0u) |
                (half_value(static_cast<u16>(x >> 16)) >= half_value(static_cast<u16>(y >> 16)) ? 2u : 0u) | 4u |
                (half_value(static_cast<u16>(x)) > half_value(static_cast<u16>(y)) &&
                         half_value(static_cast<u16>(x >> 16)) > half_value(static_cast<u16>(y >> 16))
                     ? 8u
                     : 0u))
ELEMENTWISE(half_alone, u16, u16,
            __half_as_ushort(__hfma(__ushort_as_half(x), __ushort_as_half(y), __float2half(0.5f))),
            half_bits(static_cast<double>(half_value(x)) * half_value(y) + 0.5))
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
#define BFLOAT(expression) (expression)
#else
#define BFLOAT(expression) 0
#endif
ELEMENTWISE(bfloat_fma, u32, u32, BFLOAT(bits_of(__hfma2(B2(x), B2(y), B2(x)))), of_both(x, y, [](u16 a, u16 b) {
              return bfloat_bits(static_cast<double>(bfloat_value(a)) * bfloat_value(b) + bfloat_value(a));
            }))
ELEMENTWISE(bfloat_add, u32, u32, BFLOAT(bits_of(__hadd2_rn(B2(x), B2(y)))), of_both(x, y, [](u16 a, u16 b) {
              return bfloat_bits(static_cast<double>(bfloat_value(a)) + bfloat_value(b));
            }))
ELEMENTWISE(bfloat_mul, u32, u32, BFLOAT(bits_of(__hmul2_rn(B2(x), B2(y)))), of_both(x, y, [](u16 a, u16 b) {
              return bfloat_bits(static_cast<double>(bfloat_value(a)) * bfloat_value(b));
            }))
ELEMENTWISE(bfloat_compare, u32, u32, BFLOAT((__hlt(B2(x).x, B2(y).x) ? 1u : 0u) | (__hne(B2(x).y, B2(y).y) ? 2u : 0u)),
            (bfloat_value(static_cast<u16>(x)) < bfloat_value(static_cast<u16>(y)) ? 1u : 0u) |
                (bfloat_value(static_cast<u16>(x >> 16)) != bfloat_value(static_cast<u16>(y >> 16)) ? 2u : 0u))
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
#define EXTREMES bits_of(__hmin2(H2(x), H2(y))) ^ (bits_of(__hmax2(H2(y), H2(z))) * 3)
#else
#define EXTREMES 0
#endif
ELEMENTWISE(half_extremes, u32, u32, EXTREMES,
            of_both(x, y, [](u16 a, u16 b) { return half_value(a) < half_value(b) ? a : b; }) ^
                (of_both(y, z, [](u16 a, u16 b) { return half_value(a) > half_value(b) ? a : b; }) * 3))

int main() {
  // Exponents from the middle: half 8 of its 32, bfloat16 16 of its 256.
  auto halves = pairs(1500, 0x9fff9fffu);
  for (u32& value : halves) value |= 0x20002000u;
  auto bfloats = pairs(1500, 0x87ff87ffu);
  for (u32& value : bfloats) value |= 0x38003800u;
  auto alone = corpus::any_bits<u16>(1500, 6);
  for (u16& value : alone) value = static_cast<u16>((value & 0x9fff) | 0x2000);
  RUN_EXACT(half_add, halves);
  RUN_EXACT(half_sub, halves);
  RUN_EXACT(half_mul, halves);
  RUN_EXACT(half_fma, halves);
  RUN_EXACT(half_saturate, halves);
  RUN_EXACT(half_negate, halves);
  RUN_EXACT(half_compare, halves);
  RUN_EXACT(half_alone, alone);
  if (corpus::architecture() >= 800) {
    RUN_EXACT(bfloat_add, bfloats);
    RUN_EXACT(bfloat_mul, bfloats);
    RUN_EXACT(bfloat_fma, bfloats);
    RUN_EXACT(bfloat_compare, bfloats);
    RUN_EXACT(half_extremes, halves);
  }
  std::printf("half: ok\n");
}
