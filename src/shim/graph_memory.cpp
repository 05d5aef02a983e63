// The memory that a device's graphs allocate.
#include "shim/session.hpp"

using namespace vgpu::shim;

CUresult cuDeviceGetGraphMemAttribute(CUdevice device, CUgraphMem_attribute attribute, void* value) {
  return guarded([&]() -> CUresult {
    if (device < 0 || static_cast<std::size_t>(device) >= state().devices.size()) return CUDA_ERROR_INVALID_DEVICE;
    if (!value) return CUDA_ERROR_INVALID_VALUE;
    call::cuDeviceGetGraphMemAttribute::Reply reply{};
    const CUresult result = ask<call::cuDeviceGetGraphMemAttribute>(0, {device, static_cast<u32>(attribute)}, &reply);
    if (result == CUDA_SUCCESS) *static_cast<cuuint64_t*>(value) = reply.value;
    return result;
  });
}

CUresult cuDeviceSetGraphMemAttribute(CUdevice device, CUgraphMem_attribute attribute, void* value) {
  return guarded([&]() -> CUresult {
    if (device < 0 || static_cast<std::size_t>(device) >= state().devices.size()) return CUDA_ERROR_INVALID_DEVICE;
    if (!value) return CUDA_ERROR_INVALID_VALUE;
    return ask<call::cuDeviceSetGraphMemAttribute>(
        0, {device, static_cast<u32>(attribute), *static_cast<const cuuint64_t*>(value)});
  });
}

CUresult cuDeviceGraphMemTrim(CUdevice device) {
  return guarded([&]() -> CUresult {
    if (device < 0 || static_cast<std::size_t>(device) >= state().devices.size()) return CUDA_ERROR_INVALID_DEVICE;
    return ask<call::cuDeviceGraphMemTrim>(0, {device, 0});
  });
}
