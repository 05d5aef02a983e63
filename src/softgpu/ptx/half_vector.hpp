#pragma once
#include <string_view>

#include "softgpu/ptx/program.hpp"

namespace vgpu::softgpu::ptx {

/// Sums, products and fused products of f16 or bf16, eight lanes at a time by the processor's own conversions; results
/// are those of the plain handlers bit for bit. The plain handler must stand in the instruction's imm: it runs what is
/// left over, lanes with numbers that float can't hold on the way. Null where the operation or the processor is none of
/// these; not for instructions with flags.
Handler half_vector(std::string_view op, bool brain) noexcept;

}  // namespace vgpu::softgpu::ptx
