#include "softgpu/ptx/half_vector.hpp"

#include <cpuid.h>
#include <immintrin.h>

#include "softgpu/ptx/lanes.hpp"

namespace vgpu::softgpu::ptx {
namespace {

#define VGPU_TARGET [[gnu::target("avx2,f16c,fma"), gnu::always_inline]] inline

enum class Op { add, sub, mul, fma };

constexpr u32 kStep = 8;

/// The 16-bit numbers at bit `shift` of eight lanes, as floats.
template <bool Brain>
VGPU_TARGET __m256 widen(__m256i lanes, int shift) {
  const __m256i low = _mm256_and_si256(_mm256_srli_epi32(lanes, shift), _mm256_set1_epi32(0xffff));
  if constexpr (Brain) return _mm256_castsi256_ps(_mm256_slli_epi32(low, 16));
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, low), 0xd8);
  return _mm256_cvtph_ps(_mm256_castsi256_si128(packed));
}

/// Eight floats rounded to nearest, each in the low half of a lane; a NaN is the one that a GPU gives.
template <bool Brain>
VGPU_TARGET __m256i narrow(__m256 value) {
  __m256i bits;
  if constexpr (Brain) {
    const __m256i whole = _mm256_castps_si256(value);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(whole, 16), _mm256_set1_epi32(1));
    bits = _mm256_srli_epi32(_mm256_add_epi32(whole, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
  } else {
    bits = _mm256_cvtepu16_epi32(_mm256_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(value, value, _CMP_UNORD_Q));
  return _mm256_blendv_epi8(bits, _mm256_set1_epi32(0x7fff), nan);
}

/// x + y where what falls away sets the last bit, so that rounding the sum once more is as if done once.
VGPU_TARGET __m256 add_to_odd(__m256 x, __m256 y) {
  const __m256 sum = _mm256_add_ps(x, y);
  const __m256 part = _mm256_sub_ps(sum, x);
  const __m256 error = _mm256_add_ps(_mm256_sub_ps(x, _mm256_sub_ps(sum, part)), _mm256_sub_ps(y, part));
  const __m256 zero = _mm256_setzero_ps();
  const __m256i bits = _mm256_castps_si256(sum);
  // Ordered comparisons: where the sum is no number, neither is the error, and the sum stays.
  const __m256i inexact = _mm256_castps_si256(_mm256_cmp_ps(error, zero, _CMP_NEQ_OQ));
  const __m256i even = _mm256_cmpeq_epi32(_mm256_and_si256(bits, _mm256_set1_epi32(1)), _mm256_setzero_si256());
  const __m256i away = _mm256_cmpeq_epi32(_mm256_castps_si256(_mm256_cmp_ps(error, zero, _CMP_GT_OQ)),
                                          _mm256_castps_si256(_mm256_cmp_ps(sum, zero, _CMP_GT_OQ)));
  const __m256i step =
      _mm256_or_si256(_mm256_and_si256(away, _mm256_set1_epi32(1)), _mm256_andnot_si256(away, _mm256_set1_epi32(-1)));
  const __m256i change = _mm256_and_si256(step, _mm256_and_si256(inexact, even));
  return _mm256_castsi256_ps(_mm256_add_epi32(bits, change));
}

/// Lanes whose value float may have rounded where bfloat16's exponents end: zero is exact, what is far from both ends
/// too.
VGPU_TARGET __m256 near_the_ends(__m256 value) {
  const __m256 magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), value);
  const __m256 small = _mm256_and_ps(_mm256_cmp_ps(magnitude, _mm256_setzero_ps(), _CMP_NEQ_UQ),
                                     _mm256_cmp_ps(magnitude, _mm256_set1_ps(0x1p-80f), _CMP_NGE_UQ));
  return _mm256_or_ps(small, _mm256_cmp_ps(magnitude, _mm256_set1_ps(0x1p120f), _CMP_NLE_UQ));
}

template <Op O, bool Brain>
VGPU_TARGET __m256i compute(__m256i x, __m256i y, __m256i z, int shift, __m256& unsure) {
  const __m256 a = widen<Brain>(x, shift);
  const __m256 b = widen<Brain>(y, shift);
  const __m256 product = _mm256_mul_ps(a, b);
  __m256 value = product;
  if constexpr (O == Op::add) value = add_to_odd(a, b);
  if constexpr (O == Op::sub) value = add_to_odd(a, _mm256_xor_ps(b, _mm256_set1_ps(-0.0f)));
  if constexpr (O == Op::fma) value = add_to_odd(product, widen<Brain>(z, shift));
  if constexpr (Brain) {
    unsure = _mm256_or_ps(unsure, near_the_ends(value));
    if constexpr (O == Op::fma) unsure = _mm256_or_ps(unsure, near_the_ends(product));
    // A product that vanished is none that is zero.
    if constexpr (O == Op::fma || O == Op::mul) {
      const __m256 zero = _mm256_setzero_ps();
      const __m256 operands = _mm256_and_ps(_mm256_cmp_ps(a, zero, _CMP_NEQ_UQ), _mm256_cmp_ps(b, zero, _CMP_NEQ_UQ));
      unsure = _mm256_or_ps(unsure, _mm256_and_ps(operands, _mm256_cmp_ps(product, zero, _CMP_EQ_OQ)));
    }
  }
  return narrow<Brain>(value);
}

/// The plain handler of an instruction stands in its Insn::imm: it takes the lanes that are left over.
template <Op O, bool Brain>
[[gnu::target("avx2,f16c,fma")]] void run(Warp& w, const Insn& in, u32 mask) {
  u32* d = slots<u32>(w, in.d);
  const u32* a = slots<u32>(w, in.a);
  const u32* b = slots<u32>(w, in.b);
  const u32* c = O == Op::fma ? slots<u32>(w, in.c) : a;
  const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  u32 left = 0;
  for (u32 i = 0; i < kLanes; i += kStep) {
    const u32 wanted = mask >> i & 0xffu;
    if (wanted == 0) continue;
    const auto load = [i](const u32* from) __attribute__((target("avx2,f16c,fma"), always_inline)) {
      return _mm256_load_si256(reinterpret_cast<const __m256i*>(from + i));
    };
    const __m256i x = load(a);
    const __m256i y = load(b);
    const __m256i z = load(c);
    __m256 unsure = _mm256_setzero_ps();
    __m256i out = compute<O, Brain>(x, y, z, 0, unsure);
    if (in.count == 2) out = _mm256_or_si256(out, _mm256_slli_epi32(compute<O, Brain>(x, y, z, 16, unsure), 16));
    u32 sure = wanted;
    if constexpr (Brain) {
      const u32 open = static_cast<u32>(_mm256_movemask_ps(unsure)) & wanted;
      left |= open << i;
      sure &= ~open;
    }
    const __m256i chosen = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(static_cast<int>(sure)), bit), bit);
    _mm256_maskstore_epi32(reinterpret_cast<int*>(d + i), chosen, out);
  }
  if (left != 0) reinterpret_cast<Handler>(in.imm)(w, in, left);
}

/// clang 14 does not know the name of this feature.
bool converts_halves() noexcept {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

template <bool Brain>
Handler pick(std::string_view op) noexcept {
  if (op == "add") return run<Op::add, Brain>;
  if (op == "sub") return run<Op::sub, Brain>;
  if (op == "mul") return run<Op::mul, Brain>;
  if (op == "fma") return run<Op::fma, Brain>;
  return nullptr;
}

}  // namespace

Handler half_vector(std::string_view op, bool brain) noexcept {
  if (!__builtin_cpu_supports("avx2") || !converts_halves()) return nullptr;
  return brain ? pick<true>(op) : pick<false>(op);
}

}  // namespace vgpu::softgpu::ptx
