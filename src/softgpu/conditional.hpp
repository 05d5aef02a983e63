#pragma once
#include <cstdint>
#include <memory>

#include "softgpu/driver_api.hpp"

namespace vgpu::softgpu {

/// The values of conditional handles: kernels set them, conditional nodes read them. Handles are numbers from 1 on, and
/// are never used twice. All functions may be called by any thread.
///
/// A handle exists as long as someone holds it: the graph it was made for, its clones and what was instantiated of
/// them.
using ConditionHolder = std::shared_ptr<const CUgraphConditionalHandle>;
ConditionHolder create_condition();
/// False for a handle that does not exist.
bool set_condition(CUgraphConditionalHandle handle, std::uint32_t value) noexcept;
std::uint32_t condition_value(CUgraphConditionalHandle handle) noexcept;

}  // namespace vgpu::softgpu
