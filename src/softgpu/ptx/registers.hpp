#pragma once
#include <cstdint>

#include "softgpu/ptx/program.hpp"

namespace vgpu::softgpu::ptx {

/// How many 32-bit registers a thread of the function needs at once: values that are held at the same time, in the
/// order of the code, with loops held throughout. What a GPU would give is near that; the interpreter itself has no
/// such limit.
std::uint32_t held_registers(const Function& function);

}  // namespace vgpu::softgpu::ptx
