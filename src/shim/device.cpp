// Device queries, answered from what the executor told once.
#include "shim/device.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace vgpu::shim {
namespace {

/// Abilities of the device whose calls are not carried: a program that asked would go on to use them.
bool not_carried(u32 attribute) noexcept {
  switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY:
    case CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS:
    case CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS:
    case CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM:
    case CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_MEM_OPS_V1:
    case CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS_V1:
    case CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_WAIT_VALUE_NOR_V1:
    case CU_DEVICE_ATTRIBUTE_COOPERATIVE_MULTI_DEVICE_LAUNCH:
    case CU_DEVICE_ATTRIBUTE_CAN_FLUSH_REMOTE_WRITES:
    case CU_DEVICE_ATTRIBUTE_HOST_REGISTER_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS_USES_HOST_PAGE_TABLES:
    case CU_DEVICE_ATTRIBUTE_DIRECT_MANAGED_MEM_ACCESS_FROM_HOST:
    case CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_GENERIC_COMPRESSION_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WITH_CUDA_VMM_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_SPARSE_CUDA_ARRAY_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_READ_ONLY_HOST_REGISTER_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_TIMELINE_SEMAPHORE_INTEROP_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_FLUSH_WRITES_OPTIONS:
    case CU_DEVICE_ATTRIBUTE_MEMPOOL_SUPPORTED_HANDLE_TYPES:
    case CU_DEVICE_ATTRIBUTE_DEFERRED_MAPPING_CUDA_ARRAY_SUPPORTED:
    case 122:  // 64-bit stream memory operations
    case 123:  // stream memory operations: wait for NOR
    case 124:  // DMA-BUF
    case 125:  // IPC events
    case 127:  // tensor maps
    case 128:  // fabric handles
    case 132:  // multicast
    case 135:  // D3D12 in-context graphics
    case 136:  // hardware decompression: algorithms
    case 137:  // hardware decompression: largest length
    case 138:  // Vulkan in-context graphics
    case 141:  // host NUMA virtual memory
    case 142:  // host NUMA memory pools
    case 143:  // host NUMA multi-node IPC
    case 144:  // host memory pools
    case 145:  // host virtual memory
    case 146:  // host allocations as DMA-BUF
      return true;
    default:
      return false;
  }
}

CUresult fetch(CUdevice ordinal, Device& device) {
  State& s = state();
  StagingChunk chunk(s.staging, s.staging.take());
  if (!chunk.taken()) return s.channel->health();
  call::vgpuDeviceInfo::Reply reply{};
  const CUresult result = ask<call::vgpuDeviceInfo>(0, {ordinal, 0, chunk.offset(), sizeof device.info}, &reply);
  if (result != CUDA_SUCCESS) return result;
  if (reply.written < sizeof device.info) return CUDA_ERROR_UNKNOWN;
  std::memcpy(&device.info, chunk.memory(), sizeof device.info);
  device.info.name.back() = 0;
  device.info.pci_bus_id.back() = 0;
  for (u32 i = 0; i < protocol::DeviceInfo::kAttributes; ++i)
    if (not_carried(i)) device.info.attribute[i] = 0;
  return CUDA_SUCCESS;
}

}  // namespace

Device* find_device(CUdevice ordinal, CUresult& result) {
  auto& devices = state().devices;
  if (ordinal < 0 || static_cast<std::size_t>(ordinal) >= devices.size()) {
    result = CUDA_ERROR_INVALID_DEVICE;
    return nullptr;
  }
  Device& device = *devices[static_cast<std::size_t>(ordinal)];
  std::call_once(device.once, [&] { device.fetched = fetch(ordinal, device); });
  result = device.fetched;
  return result == CUDA_SUCCESS ? &device : nullptr;
}

i32 device_attribute(const Device& device, CUdevice_attribute attribute) noexcept {
  const auto index = static_cast<u32>(attribute);
  return index < protocol::DeviceInfo::kAttributes && device.info.known[index] ? device.info.attribute[index] : 0;
}

CUmemoryPool default_pool(CUdevice ordinal) noexcept {
  return reinterpret_cast<CUmemoryPool>(protocol::Handle<Kind::pool>::make(static_cast<u32>(ordinal) + 1, 0).value);
}

CUdevice device_of_pool(CUmemoryPool pool) noexcept {
  const protocol::Handle<Kind::pool> handle{reinterpret_cast<u64>(pool)};
  if (!handle.well_formed() || handle.generation() != 0 || handle.index() > state().devices.size()) return -1;
  return static_cast<CUdevice>(handle.index() - 1);
}

}  // namespace vgpu::shim

using namespace vgpu::shim;

CUresult cuDeviceGetCount(int* count) {
  return guarded([&] {
    if (!count) return CUDA_ERROR_INVALID_VALUE;
    *count = static_cast<int>(state().devices.size());
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  return guarded([&] {
    if (!device) return CUDA_ERROR_INVALID_VALUE;
    if (ordinal < 0 || static_cast<std::size_t>(ordinal) >= state().devices.size()) return CUDA_ERROR_INVALID_DEVICE;
    *device = ordinal;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetName(char* name, int length, CUdevice ordinal) {
  return with_device(ordinal, [&](Device& device) {
    if (!name || length <= 0) return CUDA_ERROR_INVALID_VALUE;
    std::snprintf(name, static_cast<std::size_t>(length), "%s", device.info.name.data());
    return CUDA_SUCCESS;
  });
}

static CUresult device_uuid(CUuuid* uuid, CUdevice ordinal) {
  return with_device(ordinal, [&](Device& device) {
    if (!uuid) return CUDA_ERROR_INVALID_VALUE;
    static_assert(sizeof *uuid == sizeof device.info.uuid);
    std::memcpy(uuid, device.info.uuid.data(), sizeof *uuid);
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice ordinal) { return device_uuid(uuid, ordinal); }

#undef cuDeviceGetUuid
extern "C" CUresult CUDAAPI cuDeviceGetUuid(CUuuid* uuid, CUdevice ordinal) { return device_uuid(uuid, ordinal); }

CUresult cuDeviceTotalMem(size_t* bytes, CUdevice ordinal) {
  return with_device(ordinal, [&](Device& device) {
    if (!bytes) return CUDA_ERROR_INVALID_VALUE;
    *bytes = device.info.total_memory;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice ordinal) {
  return with_device(ordinal, [&](Device& device) {
    const auto index = static_cast<u32>(attribute);
    if (!value || index == 0 || index >= vgpu::protocol::DeviceInfo::kAttributes || !device.info.known[index])
      return CUDA_ERROR_INVALID_VALUE;
    *value = device.info.attribute[index];
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceComputeCapability(int* major, int* minor, CUdevice ordinal) {
  return with_device(ordinal, [&](Device& device) {
    if (!major || !minor) return CUDA_ERROR_INVALID_VALUE;
    *major = static_cast<int>(device.info.compute_major);
    *minor = static_cast<int>(device.info.compute_minor);
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetPCIBusId(char* id, int length, CUdevice ordinal) {
  return with_device(ordinal, [&](Device& device) {
    if (!id || length <= 0) return CUDA_ERROR_INVALID_VALUE;
    std::snprintf(id, static_cast<std::size_t>(length), "%s", device.info.pci_bus_id.data());
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetByPCIBusId(CUdevice* found, const char* id) {
  return guarded([&]() -> CUresult {
    if (!found || !id) return CUDA_ERROR_INVALID_VALUE;
    const auto parse = [](const char* text, unsigned(&address)[4]) {
      address[0] = address[3] = 0;
      // [domain]:[bus]:[device].[function] or without domain or function, all hexadecimal.
      if (std::sscanf(text, "%x:%x:%x.%x", &address[0], &address[1], &address[2], &address[3]) >= 3) return true;
      address[0] = 0;
      return std::sscanf(text, "%x:%x.%x", &address[1], &address[2], &address[3]) >= 2;
    };
    unsigned wanted[4] = {};
    if (!parse(id, wanted)) return CUDA_ERROR_INVALID_VALUE;
    for (CUdevice ordinal = 0; ordinal < static_cast<CUdevice>(state().devices.size()); ++ordinal) {
      CUresult result = CUDA_SUCCESS;
      const Device* device = find_device(ordinal, result);
      unsigned address[4] = {};
      if (!device) return result;
      if (parse(device->info.pci_bus_id.data(), address) && std::equal(address, address + 4, wanted)) {
        *found = ordinal;
        return CUDA_SUCCESS;
      }
    }
    return CUDA_ERROR_INVALID_DEVICE;
  });
}

CUresult cuDeviceCanAccessPeer(int* can, CUdevice ordinal, CUdevice peer) {
  return with_device(ordinal, [&](Device&) {
    return with_device(peer, [&](Device&) {
      if (!can) return CUDA_ERROR_INVALID_VALUE;
      *can = 0;
      return CUDA_SUCCESS;
    });
  });
}

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool* pool, CUdevice ordinal) {
  return with_device(ordinal, [&](Device&) {
    if (!pool) return CUDA_ERROR_INVALID_VALUE;
    *pool = default_pool(ordinal);
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetMemPool(CUmemoryPool* pool, CUdevice ordinal) { return cuDeviceGetDefaultMemPool(pool, ordinal); }

// There are no other pools than the default one.
CUresult cuDeviceSetMemPool(CUdevice ordinal, CUmemoryPool pool) {
  return with_device(
      ordinal, [&](Device&) { return device_of_pool(pool) == ordinal ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; });
}
