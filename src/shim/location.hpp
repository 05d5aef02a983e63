#pragma once
#include "shim/session.hpp"

namespace vgpu::shim {

/// CUDA_SUCCESS for the location of a device of the guest; memory of the host is not carried where locations are named.
inline CUresult check_device_location(const CUmemLocation& location) noexcept {
  if (location.type != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_NOT_SUPPORTED;
  return location.id >= 0 && static_cast<std::size_t>(location.id) < state().devices.size() ? CUDA_SUCCESS
                                                                                            : CUDA_ERROR_INVALID_DEVICE;
}

}  // namespace vgpu::shim
