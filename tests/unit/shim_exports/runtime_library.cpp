// A libcuda.so.1 of the exports, the private tables and the few calls that NVIDIA's own runtime makes before a
// program's first kernel: enough to see whether the real runtime accepts them.
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include <cstdio>
#include <cstring>

#include "common/cuda_names.hpp"
#include "driver_double.hpp"
#include "shim/exports/refuse.hpp"

namespace vgpu::shim {

CUresult refuse(unsigned index) noexcept {
  std::fprintf(stderr, "refused %s\n", cuda_names()[index].data());
  return CUDA_ERROR_NOT_SUPPORTED;
}

}  // namespace vgpu::shim

extern "C" {

CUresult cuInit(unsigned) {
  driver_double.devices = 1;
  return driver_double.ready = CUDA_SUCCESS;
}

CUresult cuDriverGetVersion(int* version) {
  *version = vgpu::shim::driver_version();
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int* count) {
  *count = 1;
  return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  *device = ordinal;
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetName(char* name, int size, CUdevice) {
  std::snprintf(name, static_cast<std::size_t>(size), "stand-in");
  return CUDA_SUCCESS;
}

CUresult cuDeviceTotalMem_v2(std::size_t* bytes, CUdevice) {
  *bytes = std::size_t{1} << 34;
  return CUDA_SUCCESS;
}

// What the integrity check is told too, apart from a compute capability that the runtime accepts.
CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice device) {
  if (attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) {
    *value = 9;
  } else if (attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR) {
    *value = 0;
  } else {
    *value = 1000 * device + static_cast<int>(attribute);
  }
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice device) {
  std::memset(uuid->bytes, 0x40 + device, sizeof uuid->bytes);
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetUuid(CUuuid* uuid, CUdevice device) { return cuDeviceGetUuid_v2(uuid, device); }

CUresult cuModuleGetLoadingMode(CUmoduleLoadingMode* mode) {
  *mode = CU_MODULE_LAZY_LOADING;
  return CUDA_SUCCESS;
}

CUresult cuCtxGetCurrent(CUcontext* context) {
  *context = driver_double.current;
  return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext context) {
  driver_double.current = context;
  return CUDA_SUCCESS;
}

CUresult cuCtxGetDevice(CUdevice* device) {
  *device = 0;
  return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
  *context = primary_handle(device);
  return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease(CUdevice) { return CUDA_SUCCESS; }
CUresult cuDevicePrimaryCtxRelease_v2(CUdevice) { return CUDA_SUCCESS; }

CUresult cuMemAlloc_v2(CUdeviceptr* pointer, std::size_t) {
  *pointer = 0x700000000;
  return CUDA_SUCCESS;
}

#if CUDA_VERSION >= 13000
CUresult cuCtxGetDevice_v2(CUdevice* device, CUcontext) { return cuCtxGetDevice(device); }
#endif
}
