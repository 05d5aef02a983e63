#pragma once
#include <bit>
#include <cmath>
#include <cstdint>

/// The 16-bit formats, computed in wider ones. Facts: IEEE 754 binary16; bfloat16 is the upper half of a binary32.
namespace vgpu::softgpu::ptx {

struct Half {
  std::uint16_t bits;
};
struct Brain {
  std::uint16_t bits;
};

enum class Round : std::uint8_t { nearest, zero, down, up, away };

inline float to_float(Half h) noexcept {
  const std::uint32_t sign = std::uint32_t{h.bits & 0x8000u} << 16;
  const std::uint32_t exponent = h.bits >> 10 & 31u;
  const std::uint32_t fraction = h.bits & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | fraction << 13);
  if (exponent == 0) {
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(magnitude) | sign);
  }
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
}
inline float to_float(Brain b) noexcept { return std::bit_cast<float>(std::uint32_t{b.bits} << 16); }

/// Rounds a double to a format of the given fraction bits and exponent range. The value's sign, exponent and the bits
/// that fall away decide; the result is exact for every double.
inline std::uint32_t round_to(double value, Round mode, int fraction_bits, int max_exponent,
                              std::uint32_t nan) noexcept {
  const std::uint32_t sign_bit = std::signbit(value) ? 1u : 0u;
  const int exponent_bits = 15 - fraction_bits;
  const std::uint32_t sign = sign_bit << (fraction_bits + exponent_bits);
  const std::uint32_t infinity = ((1u << exponent_bits) - 1) << fraction_bits;
  if (value != value) return nan;
  const double magnitude = std::fabs(value);
  if (std::isinf(magnitude)) return sign | infinity;
  if (magnitude == 0) return sign;
  const int min_exponent = 1 - max_exponent;
  int exponent = std::ilogb(magnitude);
  if (exponent < min_exponent) exponent = min_exponent;
  const double scaled = std::ldexp(magnitude, fraction_bits - exponent);  // exact, or far below one
  double whole = std::floor(scaled);
  const double rest = scaled - whole;
  bool up = false;
  switch (mode) {
    case Round::nearest:
      up = rest > 0.5 || (rest == 0.5 && std::fmod(whole, 2) != 0);
      break;
    case Round::away:
      up = rest >= 0.5;
      break;
    case Round::zero:
      break;
    case Round::down:
      up = rest > 0 && sign_bit != 0;
      break;
    case Round::up:
      up = rest > 0 && sign_bit == 0;
      break;
  }
  if (up) whole += 1;
  if (whole >= std::ldexp(1.0, fraction_bits + 1)) {
    whole /= 2;
    ++exponent;
  }
  if (exponent > max_exponent) {
    const bool to_infinity = mode == Round::nearest || mode == Round::away || (mode == Round::down && sign_bit != 0) ||
                             (mode == Round::up && sign_bit == 0);
    return sign | (to_infinity ? infinity : infinity - 1);
  }
  const auto digits = static_cast<std::uint32_t>(whole);
  if (digits < 1u << fraction_bits) return sign | digits;  // subnormal
  const auto biased = static_cast<std::uint32_t>(exponent + max_exponent);
  return sign | biased << fraction_bits | (digits & ((1u << fraction_bits) - 1));
}

inline Half to_half(double value, Round mode = Round::nearest) noexcept {
  return {static_cast<std::uint16_t>(round_to(value, mode, 10, 15, 0x7fff))};
}
inline Brain to_brain(double value, Round mode = Round::nearest) noexcept {
  return {static_cast<std::uint16_t>(round_to(value, mode, 7, 127, 0x7fff))};
}

/// a * b + c, exact product, with a sum whose last bit keeps what fell away ("round to odd"), so that rounding the
/// result to 16 bits is as if done once.
inline double fused(double a, double b, double c) noexcept {
  const double product = a * b;
  const double sum = product + c;
  if (!std::isfinite(sum)) return sum;
  const double part = sum - product;
  const double error = (product - (sum - part)) + (c - part);
  auto bits = std::bit_cast<std::uint64_t>(sum);
  if (error == 0 || (bits & 1) != 0) return sum;
  bits += (error > 0) == (sum > 0) ? 1 : std::uint64_t(-1);
  return std::bit_cast<double>(bits);
}

template <class H>
H narrow(double value, Round mode = Round::nearest) noexcept;
template <>
inline Half narrow<Half>(double value, Round mode) noexcept {
  return to_half(value, mode);
}
template <>
inline Brain narrow<Brain>(double value, Round mode) noexcept {
  return to_brain(value, mode);
}

}  // namespace vgpu::softgpu::ptx
