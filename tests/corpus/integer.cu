// Integer instructions: arithmetic of every width, carries, bit fields, permutations, dot products, SIMD within a word.
#include "corpus.hpp"

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using s8 = std::int8_t;
using s16 = std::int16_t;
using s32 = std::int32_t;
using s64 = std::int64_t;

namespace {

u32 byte_of(u32 x, int i) { return (x >> (8 * i)) & 255u; }
s32 signed_byte_of(u32 x, int i) { return static_cast<s8>(byte_of(x, i)); }
s32 clamp(s64 x, s64 low, s64 high) { return static_cast<s32>(x < low ? low : x > high ? high : x); }

u32 prmt_reference(u32 a, u32 b, u32 selector) {
  const u64 pool = (static_cast<u64>(b) << 32) | a;
  u32 out = 0;
  for (int i = 0; i < 4; ++i) {
    const u32 nibble = (selector >> (4 * i)) & 15;
    u32 byte = (pool >> (8 * (nibble & 7))) & 255;
    if (nibble & 8) byte = byte & 128 ? 255 : 0;
    out |= byte << (8 * i);
  }
  return out;
}

s32 dot4(s32 a, s32 b, s32 c) {
  u32 sum = c;
  for (int i = 0; i < 4; ++i) sum += signed_byte_of(a, i) * signed_byte_of(b, i);
  return sum;
}

u32 unsigned_dot4(u32 a, u32 b, u32 c) {
  for (int i = 0; i < 4; ++i) c += byte_of(a, i) * byte_of(b, i);
  return c;
}

template <class F>
u32 by_bytes(u32 a, u32 b, F f) {
  u32 out = 0;
  for (int i = 0; i < 4; ++i) out |= (static_cast<u32>(f(byte_of(a, i), byte_of(b, i))) & 255u) << (8 * i);
  return out;
}

template <class F>
u32 by_halves(u32 a, u32 b, F f) {
  u32 out = 0;
  for (int i = 0; i < 2; ++i)
    out |= (static_cast<u32>(f(static_cast<s16>(a >> (16 * i)), static_cast<s16>(b >> (16 * i)))) & 0xffffu)
           << (16 * i);
  return out;
}

u32 brev_reference(u32 x) {
  u32 out = 0;
  for (int i = 0; i < 32; ++i) out |= ((x >> i) & 1u) << (31 - i);
  return out;
}

u64 brev64_reference(u64 x) { return (static_cast<u64>(brev_reference(x)) << 32) | brev_reference(x >> 32); }

u32 bfind_reference(u32 x) { return x == 0 ? ~0u : 31u - __builtin_clz(x); }

u32 bfe_reference(u32 x, u32 position, u32 length) {
  position &= 255, length &= 255;
  if (position >= 32 || length == 0) return 0;
  const u64 field = static_cast<u64>(x) >> position;
  return static_cast<u32>(length >= 32 ? field : field & ((1ull << length) - 1));
}

s32 signed_bfe_reference(s32 x, u32 position, u32 length) {
  position &= 255, length &= 255;
  if (length == 0) return 0;
  const u32 top = position + length - 1 > 31 ? 31 : position + length - 1;
  const u32 sign = (static_cast<u32>(x) >> top) & 1;
  u32 out = sign ? ~0u : 0;
  for (u32 i = 0; i < 32 && i < length && position + i <= 31; ++i)
    out = (out & ~(1u << i)) | (((static_cast<u32>(x) >> (position + i)) & 1u) << i);
  return out;
}

u32 bfi_reference(u32 a, u32 b, u32 position, u32 length) {
  position &= 255, length &= 255;
  for (u32 i = 0; i < length && position + i < 32; ++i)
    b = (b & ~(1u << (position + i))) | (((a >> i) & 1u) << (position + i));
  return b;
}

template <class T>
T not_zero(T x) {
  return x == 0 ? 3 : x;
}

}  // namespace

__device__ u32 device_bfe(u32 x, u32 p, u32 l) {
  u32 d;
  asm("bfe.u32 %0, %1, %2, %3;" : "=r"(d) : "r"(x), "r"(p), "r"(l));
  return d;
}
__device__ s32 device_signed_bfe(s32 x, u32 p, u32 l) {
  s32 d;
  asm("bfe.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(x), "r"(p), "r"(l));
  return d;
}
__device__ u32 device_bfi(u32 a, u32 b, u32 p, u32 l) {
  u32 d;
  asm("bfi.b32 %0, %1, %2, %3, %4;" : "=r"(d) : "r"(a), "r"(b), "r"(p), "r"(l));
  return d;
}
__device__ u32 device_bfind(u32 x) {
  u32 d;
  asm("bfind.u32 %0, %1;" : "=r"(d) : "r"(x));
  return d;
}
__device__ u32 device_lop3(u32 x, u32 y, u32 z) {
  u32 d;
  asm("lop3.b32 %0, %1, %2, %3, 0x6a;" : "=r"(d) : "r"(x), "r"(y), "r"(z));
  return d;
}
__device__ s32 device_add_sat(s32 x, s32 y) {
  s32 d;
  asm("add.sat.s32 %0, %1, %2;" : "=r"(d) : "r"(x), "r"(y));
  return d;
}
__device__ s32 device_sub_sat(s32 x, s32 y) {
  s32 d;
  asm("sub.sat.s32 %0, %1, %2;" : "=r"(d) : "r"(x), "r"(y));
  return d;
}
__device__ u32 device_shl(u32 x, u32 y) {
  u32 d;
  asm("shl.b32 %0, %1, %2;" : "=r"(d) : "r"(x), "r"(y & 63));
  return d;
}
__device__ s32 device_shr(s32 x, u32 y) {
  s32 d;
  asm("shr.s32 %0, %1, %2;" : "=r"(d) : "r"(x), "r"(y & 63));
  return d;
}
__device__ u32 device_slct(u32 x, u32 y, u32 z) {
  u32 d;
  asm("slct.u32.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(x), "r"(y), "r"(z));
  return d;
}
__device__ s32 device_dp2a(s32 x, s32 y, s32 z) {
  s32 d;
  asm("dp2a.lo.s32.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(x), "r"(y), "r"(z));
  return d;
}
__device__ u32 device_fns(u32 x, u32 y) { return __fns(x, y & 31, 1); }
/// 128 bits: x*y + (z, x), by carries.
__device__ u64 device_wide(u64 x, u64 y, u64 z) {
  u64 low, high;
  asm("{ .reg .u64 l, h; mul.lo.u64 l, %2, %3; mul.hi.u64 h, %2, %3; add.cc.u64 %0, l, %4; addc.u64 %1, h, %2; }"
      : "=l"(low), "=l"(high)
      : "l"(x), "l"(y), "l"(z));
  u32 a, b, c;
  asm("sub.cc.u32 %0, %3, %4; subc.cc.u32 %1, %5, %6; subc.u32 %2, 0, 0;"
      : "=r"(a), "=r"(b), "=r"(c)
      : "r"(static_cast<u32>(low)), "r"(static_cast<u32>(high)), "r"(static_cast<u32>(low >> 32)),
        "r"(static_cast<u32>(high >> 32)));
  u32 d, e;
  asm("mad.lo.cc.u32 %0, %2, %3, %4; madc.hi.u32 %1, %2, %3, %5;"
      : "=r"(d), "=r"(e)
      : "r"(a), "r"(b), "r"(c), "r"(d = 7));
  return low ^ high ^ ((static_cast<u64>(e) << 32) | d);
}
u64 wide_reference(u64 x, u64 y, u64 z) {
  const unsigned __int128 product = static_cast<unsigned __int128>(x) * y + z;
  const u64 low = static_cast<u64>(product);
  const u64 high = static_cast<u64>(product >> 64) + x;
  const u64 l = (static_cast<u64>(static_cast<u32>(low >> 32)) << 32) | static_cast<u32>(low);
  const u64 h = (high & 0xffffffff00000000ull) | static_cast<u32>(high);
  const u64 minuend = l, subtrahend = h;
  const u64 first = (minuend & 0xffffffffull) - (subtrahend & 0xffffffffull);
  const u64 second = (minuend >> 32) - (subtrahend >> 32) - (first >> 63);
  const u32 a = static_cast<u32>(first), b = static_cast<u32>(second), c = second >> 63 ? ~0u : 0u;
  const u64 mad = static_cast<u64>(a) * b;
  const u64 sum = static_cast<u64>(static_cast<u32>(mad)) + c;
  const u32 e = static_cast<u32>(mad >> 32) + 7u + static_cast<u32>(sum >> 32);
  return low ^ high ^ ((static_cast<u64>(e) << 32) | static_cast<u32>(sum));
}

ELEMENTWISE(add_mul_32, u32, u32, x* y + (z ^ 0x55u) - (x << 3), x* y + (z ^ 0x55u) - (x << 3))
ELEMENTWISE(add_mul_64, u64, u64, x* y + (z ^ 0x55u) - (x << 3), x* y + (z ^ 0x55u) - (x << 3))
ELEMENTWISE(add_mul_16, u16, u16, static_cast<u16>(x * 3 + y - z), static_cast<u16>(x * 3 + y - z))
ELEMENTWISE(add_mul_8, u8, u8, static_cast<u8>(x* y + (z >> 1)), static_cast<u8>(x* y + (z >> 1)))
ELEMENTWISE(divide_u32, u32, u32, x / (y | 1) + y % (z | 2), x / (y | 1) + y % (z | 2))
ELEMENTWISE(divide_s32, s32, s32, x / ((y & 1023) + 1) + y % ((z & 7) - 9), x / ((y & 1023) + 1) + y % ((z & 7) - 9))
ELEMENTWISE(divide_u64, u64, u64, x / (y >> 20 | 1) + y % (z >> 7 | 2), x / (y >> 20 | 1) + y % (z >> 7 | 2))
ELEMENTWISE(divide_s64, s64, s64, x / ((y >> 30) | 1) + (y >> 1) % ((z >> 3) | 2),
            x / ((y >> 30) | 1) + (y >> 1) % ((z >> 3) | 2))
ELEMENTWISE(divide_s16, s16, s16, static_cast<s16>(x / ((y & 31) + 1) + (x >> 2)),
            static_cast<s16>(x / ((y & 31) + 1) + (x >> 2)))
ELEMENTWISE(mul_high, u32, u32, __umulhi(x, y) + static_cast<u32>(__mulhi(static_cast<s32>(x), static_cast<s32>(z))),
            static_cast<u32>((static_cast<u64>(x) * y) >> 32) +
                static_cast<u32>((static_cast<s64>(static_cast<s32>(x)) * static_cast<s32>(z)) >> 32))
ELEMENTWISE(mul_high_64, u64, u64,
            __umul64hi(x, y) + static_cast<u64>(__mul64hi(static_cast<s64>(x), static_cast<s64>(z))),
            static_cast<u64>((static_cast<unsigned __int128>(x) * y) >> 64) +
                static_cast<u64>((static_cast<__int128>(static_cast<s64>(x)) * static_cast<s64>(z)) >> 64))
ELEMENTWISE(mul_24, s32, s32, __mul24(x, y) + static_cast<s32>(__umul24(x, z)),
            static_cast<s32>(static_cast<u32>(static_cast<s64>(x << 8 >> 8) * (y << 8 >> 8)) +
                             (static_cast<u32>(x) & 0xffffffu) * (static_cast<u32>(z) & 0xffffffu)))
ELEMENTWISE(mul_wide, u64, u32,
            static_cast<u64>(x) * y + static_cast<u64>(static_cast<s64>(static_cast<s32>(x)) * static_cast<s32>(z)),
            static_cast<u64>(x) * y + static_cast<u64>(static_cast<s64>(static_cast<s32>(x)) * static_cast<s32>(z)))
ELEMENTWISE(carry_chain, u64, u64, device_wide(x, y, z), wide_reference(x, y, z))
ELEMENTWISE(int128, u64, u64, static_cast<u64>((static_cast<unsigned __int128>(x) * y + z) >> 37),
            static_cast<u64>((static_cast<unsigned __int128>(x) * y + z) >> 37))
ELEMENTWISE(int128_divide, u64, u64,
            static_cast<u64>((static_cast<unsigned __int128>(x) * 5 + y) / (z >> (y & 63) | 1)),
            static_cast<u64>((static_cast<unsigned __int128>(x) * 5 + y) / (z >> (y & 63) | 1)))
ELEMENTWISE(saturate, s32, s32, device_add_sat(x, y) ^ device_sub_sat(y, z),
            clamp(static_cast<s64>(x) + y, INT32_MIN, INT32_MAX) ^ clamp(static_cast<s64>(y) - z, INT32_MIN, INT32_MAX))
ELEMENTWISE(min_max, s32, s32, min(max(x, y), z) ^ static_cast<s32>(min(static_cast<u32>(x), static_cast<u32>(y))),
            std::min(std::max(x, y), z) ^ static_cast<s32>(std::min(static_cast<u32>(x), static_cast<u32>(y))))
ELEMENTWISE(min_max_64, s64, s64, min(max(x, y), z), std::min(std::max(x, y), z))
ELEMENTWISE(absolute_difference, u32, s32, __sad(x, y, z) + __usad(x, y, z) + static_cast<u32>(abs(z >> 1)),
            static_cast<u32>(std::abs(static_cast<s64>(x) - y)) + z +
                static_cast<u32>(std::abs(static_cast<s64>(static_cast<u32>(x)) - static_cast<u32>(y))) + z +
                static_cast<u32>(std::abs(z >> 1)))
ELEMENTWISE(averages, s32, s32, __hadd(x, y) ^ __rhadd(y, z) ^ static_cast<s32>(__uhadd(x, z)),
            static_cast<s32>((static_cast<s64>(x) + y) >> 1) ^ static_cast<s32>((static_cast<s64>(y) + z + 1) >> 1) ^
                static_cast<s32>((static_cast<u64>(static_cast<u32>(x)) + static_cast<u32>(z)) >> 1))
ELEMENTWISE(count_bits, u32, u32, __popc(x) + 64 * __clz(y) + 4096 * __ffs(z),
            static_cast<u32>(__builtin_popcount(x) + 64 * (y ? __builtin_clz(y) : 32) +
                             4096 * __builtin_ffs(static_cast<int>(z))))
ELEMENTWISE(count_bits_64, u32, u64, __popcll(x) + 128 * __clzll(y) + 16384 * __ffsll(z),
            static_cast<u32>(__builtin_popcountll(x) + 128 * (y ? __builtin_clzll(y) : 64) +
                             16384 * __builtin_ffsll(static_cast<s64>(z))))
ELEMENTWISE(reverse_bits, u32, u32, __brev(x), brev_reference(x))
ELEMENTWISE(reverse_bits_64, u64, u64, __brevll(x), brev64_reference(x))
ELEMENTWISE(find_bit, u32, u32, device_bfind(x >> (y & 31)), bfind_reference(x >> (y & 31)))
ELEMENTWISE(bit_field, u32, u32, device_bfe(x, y & 63, z & 63), bfe_reference(x, y & 63, z & 63))
ELEMENTWISE(bit_field_signed, s32, s32, device_signed_bfe(x, y & 31, z & 31), signed_bfe_reference(x, y & 31, z & 31))
ELEMENTWISE(bit_field_insert, u32, u32, device_bfi(x, y, z & 63, z >> 8 & 63), bfi_reference(x, y, z & 63, z >> 8 & 63))
ELEMENTWISE(lop3, u32, u32, device_lop3(x, y, z) ^ ((x & y) | (~x & z)), ((x & y) ^ z) ^ ((x & y) | (~x & z)))
ELEMENTWISE(shifts_clamped, u32, u32, device_shl(x, y) ^ static_cast<u32>(device_shr(static_cast<s32>(x), z)),
            ((y & 63) > 31 ? 0u : x << (y & 31)) ^
                static_cast<u32>(static_cast<s32>(x) >> ((z & 63) > 31 ? 31 : (z & 31))))
ELEMENTWISE(shifts_64, u64, u64, (x << (y & 63)) ^ (x >> (z & 63)) ^ static_cast<u64>(static_cast<s64>(x) >> (y & 63)),
            (x << (y & 63)) ^ (x >> (z & 63)) ^ static_cast<u64>(static_cast<s64>(x) >> (y & 63)))
ELEMENTWISE(permute, u32, u32, __byte_perm(x, y, z), prmt_reference(x, y, z & 0x7777u))
ELEMENTWISE(funnel_shift, u32, u32,
            __funnelshift_l(x, y, z) ^ __funnelshift_r(x, y, z) ^ __funnelshift_lc(x, y, z & 63) ^
                __funnelshift_rc(x, y, z & 63),
            static_cast<u32>((((static_cast<u64>(y) << 32 | x) << (z & 31)) >> 32) ^
                             ((static_cast<u64>(y) << 32 | x) >> (z & 31)) ^
                             (((z & 63) >= 32 ? (static_cast<u64>(y) << 32 | x) << 32
                                              : (static_cast<u64>(y) << 32 | x) << (z & 31)) >>
                              32) ^
                             ((static_cast<u64>(y) << 32 | x) >> ((z & 63) >= 32 ? 32 : (z & 31)))))
ELEMENTWISE(dp4a, s32, s32, __dp4a(x, y, z), dot4(x, y, z))
ELEMENTWISE(dp4a_unsigned, u32, u32, __dp4a(x, y, z), unsigned_dot4(x, y, z))
ELEMENTWISE(dp2a, s32, s32, device_dp2a(x, y, z),
            static_cast<s32>(static_cast<u32>(z) + static_cast<u32>(static_cast<s16>(x) * signed_byte_of(y, 0)) +
                             static_cast<u32>((x >> 16) * signed_byte_of(y, 1))))
ELEMENTWISE(select_sign, u32, u32, device_slct(x, y, z), static_cast<s32>(z) >= 0 ? x : y)
ELEMENTWISE(find_nth_set, u32, u32, device_fns(x, y), [&] {
  for (u32 i = y & 31; i < 32; ++i)
    if (x >> i & 1) return i;
  return ~0u;
}())
ELEMENTWISE(vadd4, u32, u32, __vadd4(x, y) ^ __vsub4(y, z),
            by_bytes(x, y, [](u32 a, u32 b) { return a + b; }) ^ by_bytes(y, z, [](u32 a, u32 b) { return a - b; }))
ELEMENTWISE(vaddss4, u32, u32, __vaddss4(x, y) ^ __vsubus4(y, z),
            by_bytes(x, y, [](u32 a, u32 b) { return clamp(static_cast<s8>(a) + static_cast<s8>(b), -128, 127); }) ^
                by_bytes(y, z, [](u32 a, u32 b) { return a > b ? a - b : 0; }))
ELEMENTWISE(vminmax, u32, u32, __vmaxs4(x, y) ^ __vminu4(y, z) ^ __vabsdiffu4(x, z) ^ __vavgu4(x, y),
            by_bytes(x, y, [](u32 a, u32 b) { return std::max(static_cast<s8>(a), static_cast<s8>(b)); }) ^
                by_bytes(y, z, [](u32 a, u32 b) { return std::min(a, b); }) ^
                by_bytes(x, z, [](u32 a, u32 b) { return a > b ? a - b : b - a; }) ^
                by_bytes(x, y, [](u32 a, u32 b) { return (a + b + 1) / 2; }))
ELEMENTWISE(vcompare4, u32, u32, __vcmpgtu4(x, y) ^ __vseteq4(x & 0x03030303u, y & 0x03030303u),
            by_bytes(x, y, [](u32 a, u32 b) { return a > b ? 255 : 0; }) ^
                by_bytes(x, y, [](u32 a, u32 b) { return (a & 3) == (b & 3) ? 1 : 0; }))
ELEMENTWISE(vhalves, u32, u32, __vadd2(x, y) ^ __vmins2(y, z) ^ __vsubss2(x, z) ^ __vcmples2(x, y),
            by_halves(x, y, [](s32 a, s32 b) { return a + b; }) ^
                by_halves(y, z, [](s32 a, s32 b) { return std::min(a, b); }) ^
                by_halves(x, z, [](s32 a, s32 b) { return clamp(a - b, -32768, 32767); }) ^
                by_halves(x, y, [](s32 a, s32 b) { return a <= b ? 0xffff : 0; }))
ELEMENTWISE(vsad, u32, u32, __vsadu4(x, y) + __vsads2(y, z), [&] {
  u32 sum = 0;
  for (int i = 0; i < 4; ++i) sum += std::abs(static_cast<s32>(byte_of(x, i)) - static_cast<s32>(byte_of(y, i)));
  for (int i = 0; i < 2; ++i) sum += std::abs(static_cast<s16>(y >> 16 * i) - static_cast<s16>(z >> 16 * i));
  return sum;
}())
ELEMENTWISE(three_way, s32, s32,
            __vimax3_s32(x, y, z) ^ __vimin3_s32(x, y, z) ^ __viaddmax_s32(x >> 1, y >> 1, z) ^
                static_cast<s32>(__viaddmin_u32(static_cast<u32>(x), static_cast<u32>(y), static_cast<u32>(z))),
            std::max({x, y, z}) ^ std::min({x, y, z}) ^ std::max((x >> 1) + (y >> 1), z) ^
                static_cast<s32>(std::min(static_cast<u32>(x) + static_cast<u32>(y), static_cast<u32>(z))))
ELEMENTWISE(compare_select, u32, s32,
            (x < y ? 1u : 0u) | (static_cast<u32>(x) <= static_cast<u32>(y) ? 2u : 0u) | (x == z ? 4u : 0u) |
                (y >= z && x != 0 ? 8u : 0u) | ((x > y) != (y > z) ? 16u : 0u),
            (x < y ? 1u : 0u) | (static_cast<u32>(x) <= static_cast<u32>(y) ? 2u : 0u) | (x == z ? 4u : 0u) |
                (y >= z && x != 0 ? 8u : 0u) | ((x > y) != (y > z) ? 16u : 0u))

int main() {
  constexpr std::size_t n = 2000;
  const auto words = corpus::any_bits<u32>(n);
  const auto numbers = corpus::any_bits<s32>(n, 2);
  const auto longs = corpus::any_bits<u64>(n, 3);
  const auto signed_longs = corpus::any_bits<s64>(n, 4);
  RUN_EXACT(add_mul_32, words);
  RUN_EXACT(add_mul_64, longs);
  RUN_EXACT(add_mul_16, corpus::any_bits<u16>(n));
  RUN_EXACT(add_mul_8, corpus::any_bits<u8>(n));
  RUN_EXACT(divide_u32, words);
  RUN_EXACT(divide_s32, numbers);
  RUN_EXACT(divide_u64, longs);
  RUN_EXACT(divide_s64, signed_longs);
  RUN_EXACT(divide_s16, corpus::any_bits<s16>(n));
  RUN_EXACT(mul_high, words);
  RUN_EXACT(mul_high_64, longs);
  RUN_EXACT(mul_24, numbers);
  RUN_EXACT(mul_wide, words);
  RUN_EXACT(carry_chain, longs);
  RUN_EXACT(int128, longs);
  RUN_EXACT(int128_divide, longs);
  RUN_EXACT(saturate, numbers);
  RUN_EXACT(min_max, numbers);
  RUN_EXACT(min_max_64, signed_longs);
  RUN_EXACT(absolute_difference, numbers);
  RUN_EXACT(averages, numbers);
  RUN_EXACT(count_bits, words);
  RUN_EXACT(count_bits_64, longs);
  RUN_EXACT(reverse_bits, words);
  RUN_EXACT(reverse_bits_64, longs);
  RUN_EXACT(find_bit, words);
  RUN_EXACT(bit_field, words);
  RUN_EXACT(bit_field_signed, numbers);
  RUN_EXACT(bit_field_insert, words);
  RUN_EXACT(lop3, words);
  RUN_EXACT(shifts_clamped, words);
  RUN_EXACT(shifts_64, longs);
  RUN_EXACT(permute, words);
  RUN_EXACT(funnel_shift, words);
  RUN_EXACT(dp4a, numbers);
  RUN_EXACT(dp4a_unsigned, words);
  RUN_EXACT(dp2a, numbers);
  RUN_EXACT(select_sign, words);
  RUN_EXACT(find_nth_set, words);
  RUN_EXACT(vadd4, words);
  RUN_EXACT(vaddss4, words);
  RUN_EXACT(vminmax, words);
  RUN_EXACT(vcompare4, words);
  RUN_EXACT(vhalves, words);
  RUN_EXACT(vsad, words);
  RUN_EXACT(three_way, numbers);
  RUN_EXACT(compare_select, numbers);
  std::printf("integer: ok\n");
}
