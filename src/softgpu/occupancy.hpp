#pragma once
#include <cstddef>

#include "softgpu/ptx/ptx.hpp"

namespace vgpu::softgpu {

/// Blocks of a kernel that one multiprocessor of compute capability 9.0 holds at once; 0 if none fits. `threads` > 0.
unsigned blocks_per_multiprocessor(const ptx::KernelInfo& info, unsigned threads, std::size_t dynamic_shared) noexcept;

}  // namespace vgpu::softgpu
