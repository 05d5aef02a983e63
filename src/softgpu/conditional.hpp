#pragma once
#include <cstdint>

#include "softgpu/driver_api.hpp"

namespace vgpu::softgpu {

/// The values of conditional handles: kernels set them, conditional nodes read them. Handles are numbers from 1 on, and
/// are never used twice. All functions may be called by any thread.
CUgraphConditionalHandle create_condition();
/// False for a handle that does not exist.
bool set_condition(CUgraphConditionalHandle handle, std::uint32_t value) noexcept;
std::uint32_t condition_value(CUgraphConditionalHandle handle) noexcept;

}  // namespace vgpu::softgpu
