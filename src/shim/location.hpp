#pragma once
#include "shim/refuse_as.hpp"
#include "shim/session.hpp"

namespace vgpu::shim {

/// CUDA_SUCCESS for the location of a device of the guest; memory of the host is refused (refuse_as.hpp) under `name`.
inline CUresult check_device_location(const CUmemLocation& location, std::string_view name) noexcept {
  if (location.type != CU_MEM_LOCATION_TYPE_DEVICE) return refuse_as(name, "a location in the host's memory");
  return location.id >= 0 && static_cast<std::size_t>(location.id) < state().devices.size() ? CUDA_SUCCESS
                                                                                            : CUDA_ERROR_INVALID_DEVICE;
}

}  // namespace vgpu::shim
