#pragma once
#include <string_view>

#include "softgpu/ptx/half.hpp"
#include "softgpu/ptx/program.hpp"

/// Arithmetic in the directed roundings. Lives apart from the rest because the compiler must be told that the rounding
/// mode changes under it.
namespace vgpu::softgpu::ptx {

/// Insn::flags.
inline constexpr std::uint8_t kFlush = 1;
inline constexpr std::uint8_t kSaturate = 2;

/// add, sub, mul, div, fma, mad, sqrt, rcp on f32 and f64; null if there is none.
Handler directed_handler(std::string_view op, Type type, Round mode) noexcept;

/// A conversion that rounds: integer to float, double to float. from and to are f32, f64, s32, u32, s64, u64.
Handler directed_conversion(Type to, Type from, Round mode) noexcept;

}  // namespace vgpu::softgpu::ptx
