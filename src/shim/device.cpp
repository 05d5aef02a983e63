// Device queries, answered from what the executor told once.
#include "shim/device.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace vgpu::shim {
namespace {

/// Asks the executor about a device; some of the answer needs a context.
CUresult fetch(CUdevice ordinal, u32 context, protocol::DeviceInfo& info) {
  State& s = state();
  StagingChunk chunk(s.staging, s.staging.take());
  if (!chunk.taken()) return s.channel->health();
  call::vgpuDeviceInfo::Reply reply{};
  const CUresult result = ask<call::vgpuDeviceInfo>(context, {ordinal, 0, chunk.offset(), sizeof info}, &reply);
  if (result != CUDA_SUCCESS) return result;
  if (reply.written < sizeof info) return CUDA_ERROR_UNKNOWN;
  std::memcpy(&info, chunk.memory(), sizeof info);
  info.name.back() = 0;
  info.pci_bus_id.back() = 0;
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
  std::call_once(device.once, [&] { device.fetched = fetch(ordinal, 0, device.info); });
  result = device.fetched;
  return result == CUDA_SUCCESS ? &device : nullptr;
}

CUresult stream_priorities(const Context& context, i32& least, i32& greatest) {
  CUresult result = CUDA_SUCCESS;
  Device* device = find_device(context.device, result);
  if (!device) return result;
  if (!device->priorities_known.load(std::memory_order_acquire)) {
    // The driver tells them only where a context is current, which the first question was not.
    auto info = std::make_unique<protocol::DeviceInfo>();
    result = fetch(context.device, context.index(), *info);
    if (result != CUDA_SUCCESS) return result;
    device->least_priority.store(info->least_stream_priority, std::memory_order_relaxed);
    device->greatest_priority.store(info->greatest_stream_priority, std::memory_order_relaxed);
    device->priorities_known.store(true, std::memory_order_release);
  }
  least = device->least_priority.load(std::memory_order_relaxed);
  greatest = device->greatest_priority.load(std::memory_order_relaxed);
  return CUDA_SUCCESS;
}

i32 device_attribute(const Device& device, CUdevice_attribute attribute) noexcept {
  const auto index = static_cast<u32>(attribute);
  return index < protocol::DeviceInfo::kAttributes && device.info.known[index] ? device.info.attribute[index] : 0;
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

CUresult cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice ordinal) {
  return with_device(ordinal, [&](Device& device) {
    if (!uuid) return CUDA_ERROR_INVALID_VALUE;
    static_assert(sizeof *uuid == sizeof device.info.uuid);
    std::memcpy(uuid, device.info.uuid.data(), sizeof *uuid);
    return CUDA_SUCCESS;
  });
}

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
