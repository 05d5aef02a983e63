#include <algorithm>
#include <cctype>
#include <cstdio>

#include "softgpu/device_attributes.hpp"
#include "softgpu/guard.hpp"
#include "softgpu/identity.hpp"

using namespace vgpu::softgpu;

namespace {

constexpr int kVersion = 13000;

CUresult get_uuid(CUuuid* uuid, CUdevice device) {
  return with_driver([&](Driver& self) {
    if (uuid == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult error = check_device(device); error != CUDA_SUCCESS) return error;
    *uuid = self.device(device).uuid();
    return CUDA_SUCCESS;
  });
}

}  // namespace

CUresult CUDAAPI cuInit(unsigned int flags) {
  return guarded([&] { return initialize(flags); });
}

CUresult CUDAAPI cuDriverGetVersion(int* version) {
  if (version == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *version = kVersion;
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDeviceGet(CUdevice* device, int ordinal) {
  return with_driver([&](Driver&) {
    if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult error = check_device(ordinal); error != CUDA_SUCCESS) return error;
    *device = ordinal;
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuDeviceGetCount(int* count) {
  return with_driver([&](Driver& self) {
    if (count == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *count = static_cast<int>(self.devices().size());
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuDeviceGetName(char* name, int length, CUdevice device) {
  return with_driver([&](Driver&) {
    if (name == nullptr || length <= 0) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult error = check_device(device); error != CUDA_SUCCESS) return error;
    std::snprintf(name, static_cast<std::size_t>(length), "%s", kDeviceName);
    return CUDA_SUCCESS;
  });
}

#undef cuDeviceGetUuid
VGPU_CUDA_EXPORT CUresult CUDAAPI cuDeviceGetUuid(CUuuid* uuid, CUdevice device) { return get_uuid(uuid, device); }
VGPU_CUDA_EXPORT CUresult CUDAAPI cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice device) { return get_uuid(uuid, device); }

CUresult CUDAAPI cuDeviceGetLuid(char*, unsigned int*, CUdevice device) {
  // LUIDs are a thing of Windows.
  return with_driver([&](Driver&) {
    const CUresult error = check_device(device);
    return error != CUDA_SUCCESS ? error : CUDA_ERROR_NOT_SUPPORTED;
  });
}

CUresult CUDAAPI cuDeviceTotalMem(size_t* bytes, CUdevice device) {
  return with_driver([&](Driver& self) {
    if (bytes == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult error = check_device(device); error != CUDA_SUCCESS) return error;
    *bytes = self.device(device).total_memory();
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice device) {
  return with_driver([&](Driver& self) {
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult error = check_device(device); error != CUDA_SUCCESS) return error;
    const auto known = device_attribute(self.device(device), attribute);
    if (!known) return CUDA_ERROR_INVALID_VALUE;
    *value = *known;
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuDeviceComputeCapability(int* major, int* minor, CUdevice device) {
  return with_driver([&](Driver&) {
    if (major == nullptr || minor == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult error = check_device(device); error != CUDA_SUCCESS) return error;
    *major = limits::kComputeMajor;
    *minor = limits::kComputeMinor;
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuDeviceGetProperties(CUdevprop* properties, CUdevice device) {
  return with_driver([&](Driver& self) {
    if (properties == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult error = check_device(device); error != CUDA_SUCCESS) return error;
    const auto get = [&](CUdevice_attribute attribute) {
      return device_attribute(self.device(device), attribute).value_or(0);
    };
    properties->maxThreadsPerBlock = get(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
    properties->maxThreadsDim[0] = get(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X);
    properties->maxThreadsDim[1] = get(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y);
    properties->maxThreadsDim[2] = get(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z);
    properties->maxGridSize[0] = get(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X);
    properties->maxGridSize[1] = get(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y);
    properties->maxGridSize[2] = get(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z);
    properties->sharedMemPerBlock = get(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK);
    properties->totalConstantMemory = get(CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY);
    properties->SIMDWidth = get(CU_DEVICE_ATTRIBUTE_WARP_SIZE);
    properties->memPitch = get(CU_DEVICE_ATTRIBUTE_MAX_PITCH);
    properties->regsPerBlock = get(CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK);
    properties->clockRate = get(CU_DEVICE_ATTRIBUTE_CLOCK_RATE);
    properties->textureAlign = get(CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT);
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuDeviceGetPCIBusId(char* id, int length, CUdevice device) {
  return with_driver([&](Driver& self) {
    if (id == nullptr || length <= 0) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult error = check_device(device); error != CUDA_SUCCESS) return error;
    constexpr std::size_t kLength = 13;  // "0000:00:00.0" and its NUL
    if (static_cast<std::size_t>(length) < kLength) return CUDA_ERROR_INVALID_VALUE;
    std::snprintf(id, static_cast<std::size_t>(length), "%04X:%02X:%02X.0", limits::kPciDomain,
                  self.device(device).pci_bus(), limits::kPciDevice);
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuDeviceGetByPCIBusId(CUdevice* device, const char* id) {
  return with_driver([&](Driver& self) {
    if (device == nullptr || id == nullptr) return CUDA_ERROR_INVALID_VALUE;
    // [domain]:[bus]:[device].[function], [domain]:[bus]:[device] or [bus]:[device].[function], in hexadecimal.
    unsigned domain = 0;
    unsigned bus = 0;
    unsigned slot = 0;
    unsigned function = 0;
    int end = 0;
    const auto whole = [&] { return end > 0 && id[end] == '\0'; };
    const auto parse = [&](const char* format, auto... fields) {
      end = 0;
      domain = function = 0;
      return std::sscanf(id, format, fields..., &end) == static_cast<int>(sizeof...(fields)) && whole();
    };
    if (!parse("%x:%x:%x.%x%n", &domain, &bus, &slot, &function) && !parse("%x:%x:%x%n", &domain, &bus, &slot) &&
        !parse("%x:%x.%x%n", &bus, &slot, &function)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (domain != limits::kPciDomain || slot != limits::kPciDevice || function != 0) return CUDA_ERROR_INVALID_DEVICE;
    for (const auto& one : self.devices()) {
      if (one->pci_bus() != bus) continue;
      *device = one->ordinal;
      return CUDA_SUCCESS;
    }
    return CUDA_ERROR_INVALID_DEVICE;
  });
}

CUresult CUDAAPI cuDeviceGetExecAffinitySupport(int* supported, CUexecAffinityType type, CUdevice device) {
  return with_driver([&](Driver&) {
    if (supported == nullptr || type < CU_EXEC_AFFINITY_TYPE_SM_COUNT || type >= CU_EXEC_AFFINITY_TYPE_MAX) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (const CUresult error = check_device(device); error != CUDA_SUCCESS) return error;
    *supported = 0;
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuDeviceGetDefaultMemPool(CUmemoryPool* pool, CUdevice device) {
  return with_driver([&](Driver& self) {
    if (pool == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult error = check_device(device); error != CUDA_SUCCESS) return error;
    *pool = self.device(device).default_pool->handle;
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuDeviceGetMemPool(CUmemoryPool* pool, CUdevice device) {
  return with_driver([&](Driver& self) {
    if (pool == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult error = check_device(device); error != CUDA_SUCCESS) return error;
    *pool = self.device(device).current_pool()->handle;
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuDeviceSetMemPool(CUdevice device, CUmemoryPool handle) {
  return with_driver([&](Driver& self) {
    if (const CUresult error = check_device(device); error != CUDA_SUCCESS) return error;
    auto pool = self.pools.find(handle);
    if (pool == nullptr || &pool->device() != &self.device(device)) return CUDA_ERROR_INVALID_VALUE;
    self.device(device).set_current_pool(std::move(pool));
    return CUDA_SUCCESS;
  });
}
