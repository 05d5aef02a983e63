#pragma once
#include "shim/stream.hpp"

namespace vgpu::shim {

/// Enters memory of the GPU into the map of allocations. `pool`: handle of its pool, or 0.
void remember_device_memory(const Context& context, u64 base, u64 bytes, u64 pool);

/// The index that records carry for a context handle.
u32 context_index(u64 context) noexcept;

}  // namespace vgpu::shim
