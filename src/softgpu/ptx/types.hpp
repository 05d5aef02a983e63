#pragma once
#include <cstdint>
#include <string_view>

namespace vgpu::softgpu::ptx {

/// The fundamental types of PTX (PTX ISA, "Fundamental Types" and "Alternate Floating-Point Data Formats").
enum class Type : std::uint8_t {
  none,
  pred,
  b8,
  b16,
  b32,
  b64,
  b128,
  u8,
  u16,
  u32,
  u64,
  s8,
  s16,
  s32,
  s64,
  f16,
  f16x2,
  bf16,
  bf16x2,
  tf32,
  f32,
  f64,
};

enum class Space : std::uint8_t { generic, global, shared, local, constant, param, reg };

/// Without the leading dot. Type::none if it is not a type.
Type type_from(std::string_view word) noexcept;
/// Bytes of a value in memory; 0 for pred and none.
std::uint32_t bytes_of(Type type) noexcept;

constexpr bool is_signed(Type t) noexcept { return t >= Type::s8 && t <= Type::s64; }
constexpr bool is_unsigned(Type t) noexcept { return t >= Type::u8 && t <= Type::u64; }
constexpr bool is_untyped(Type t) noexcept { return t >= Type::b8 && t <= Type::b128; }
constexpr bool is_float(Type t) noexcept { return t >= Type::f16; }

}  // namespace vgpu::softgpu::ptx
