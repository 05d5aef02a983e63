#pragma once

namespace vgpu::softgpu {

/// CPU cores that this process may run on (its affinity mask), at least 1.
unsigned usable_cores() noexcept;

}  // namespace vgpu::softgpu
