// Memory: what CUDA says of it in this VM, and what the host charges.
#include "shim/nvml/library.hpp"

using namespace vgpu::nvml;

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t* memory) {
  return with_gpu(device, [&](const StatusGpu& gpu, const Status&) {
    if (memory == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *memory = {gpu.memory_total, gpu.memory_free, gpu.memory_used};
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t* memory) {
  return with_gpu(device, [&](const StatusGpu& gpu, const Status&) {
    if (memory == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    if (memory->version != nvmlMemory_v2) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    // What the VM neither uses nor could get: others have it, or the driver.
    const u64 reserved = gpu.memory_total - gpu.memory_used - gpu.memory_free;
    *memory = {nvmlMemory_v2, gpu.memory_total, reserved, gpu.memory_free, gpu.memory_used};
    return NVML_SUCCESS;
  });
}
