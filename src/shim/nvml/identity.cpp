// Which GPUs there are: counts, handles, names and addresses.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

#include "shim/nvml/library.hpp"

using namespace vgpu::nvml;
using vgpu::protocol::u32;

namespace {

/// The handle of the first GPU that is meant.
template <typename Wanted>
nvmlReturn_t find_handle(nvmlDevice_t* device, Wanted wanted) noexcept {
  return with_status([&](const Status& status) {
    if (device == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    for (u32 i = 0; i < status.gpu_count; ++i)
      if (wanted(status.gpus[i], i)) return handle_of(status.gpus[i], device);
    return NVML_ERROR_NOT_FOUND;
  });
}

bool uuid_bytes(const char* text, std::array<unsigned char, NVML_DEVICE_UUID_BINARY_LEN>& bytes) noexcept {
  if (std::strncmp(text, "GPU-", 4) == 0) text += 4;
  for (unsigned char& byte : bytes) {
    if (*text == '-') ++text;
    unsigned int value = 0;
    if (std::sscanf(text, "%2x", &value) != 1) return false;
    byte = static_cast<unsigned char>(value);
    text += 2;
  }
  return true;
}

nvmlReturn_t give_pci(nvmlDevice_t device, nvmlPciInfo_t* pci, std::size_t bytes) noexcept {
  return with_gpu(device, [&](const StatusGpu& gpu, const Status&) {
    PciAddress address;
    if (pci == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    if (!parse_pci_address(gpu.pci_bus_id.data(), address)) return NVML_ERROR_NOT_SUPPORTED;
    nvmlPciInfo_t info{};
    info.domain = address.domain;
    info.bus = address.bus;
    info.device = address.device;
    std::snprintf(info.busIdLegacy, sizeof info.busIdLegacy, "%04X:%02X:%02X.0", address.domain & 0xffff,
                  address.bus & 0xff, address.device & 0xff);
    std::snprintf(info.busId, sizeof info.busId, "%08X:%02X:%02X.0", address.domain, address.bus & 0xff,
                  address.device & 0xff);
    std::memcpy(pci, &info, bytes);
    return NVML_SUCCESS;
  });
}

/// NVML_DEVICE_ARCH_... of a compute capability.
unsigned int architecture_of(u32 major, u32 minor) noexcept {
  switch (major) {
    case 3:
      return 2;  // Kepler
    case 5:
      return 3;  // Maxwell
    case 6:
      return 4;  // Pascal
    case 7:
      return minor < 5 ? 5 : 6;  // Volta, Turing
    case 8:
      return minor < 9 ? 7 : 8;  // Ampere, Ada
    case 9:
      return 9;  // Hopper
    case 10:
    case 12:
      return 10;  // Blackwell
    default:
      return NVML_DEVICE_ARCH_UNKNOWN;
  }
}

}  // namespace

namespace vgpu::nvml {

bool parse_pci_address(const char* text, PciAddress& address) noexcept {
  // Shorter than any number that could overflow; with domain and function, or without either.
  if (std::strlen(text) > 16) return false;
  int end = -1;
  PciAddress read;
  std::sscanf(text, "%8x:%2x:%2x.%1x%n", &read.domain, &read.bus, &read.device, &read.function, &end);
  if (end < 0) {
    read = {};
    std::sscanf(text, "%8x:%2x:%2x%n", &read.domain, &read.bus, &read.device, &end);
  }
  if (end < 0 || text[end] != '\0') {
    end = -1;
    read = {};
    std::sscanf(text, "%2x:%2x.%1x%n", &read.bus, &read.device, &read.function, &end);
  }
  if (end < 0 || text[end] != '\0') return false;
  address = read;
  return true;
}

}  // namespace vgpu::nvml

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int* count) {
  return with_status([&](const Status& status) {
    if (count == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *count = status.gpu_count;
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetCount(unsigned int* count) { return nvmlDeviceGetCount_v2(count); }

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t* device) {
  const nvmlReturn_t result = find_handle(device, [&](const StatusGpu&, u32 at) { return at == index; });
  return result == NVML_ERROR_NOT_FOUND ? NVML_ERROR_INVALID_ARGUMENT : result;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex(unsigned int index, nvmlDevice_t* device) {
  return nvmlDeviceGetHandleByIndex_v2(index, device);
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char* uuid, nvmlDevice_t* device) {
  return find_handle(uuid != nullptr ? device : nullptr,
                     [&](const StatusGpu& gpu, u32) { return std::strcmp(gpu.uuid.data(), uuid) == 0; });
}

nvmlReturn_t nvmlDeviceGetHandleByUUIDV(const nvmlUUID_v1_t* uuid, nvmlDevice_t* device) {
  if (!is_initialized()) return NVML_ERROR_UNINITIALIZED;
  if (uuid == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  if (uuid->version != nvmlUUID_v1) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
  if (uuid->type == NVML_UUID_TYPE_ASCII) {
    char text[NVML_DEVICE_UUID_ASCII_LEN + 1] = {};
    std::memcpy(text, uuid->value.str, NVML_DEVICE_UUID_ASCII_LEN);
    return nvmlDeviceGetHandleByUUID(text, device);
  }
  if (uuid->type != NVML_UUID_TYPE_BINARY) return NVML_ERROR_INVALID_ARGUMENT;
  return find_handle(device, [&](const StatusGpu& gpu, u32) {
    std::array<unsigned char, NVML_DEVICE_UUID_BINARY_LEN> bytes{};
    return uuid_bytes(gpu.uuid.data(), bytes) && std::equal(bytes.begin(), bytes.end(), uuid->value.bytes);
  });
}

nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char* id, nvmlDevice_t* device) {
  PciAddress wanted;
  if (is_initialized() && (id == nullptr || !parse_pci_address(id, wanted))) return NVML_ERROR_INVALID_ARGUMENT;
  return find_handle(device, [&](const StatusGpu& gpu, u32) {
    PciAddress address;
    return parse_pci_address(gpu.pci_bus_id.data(), address) && address == wanted;
  });
}

nvmlReturn_t nvmlDeviceGetHandleByPciBusId(const char* id, nvmlDevice_t* device) {
  return nvmlDeviceGetHandleByPciBusId_v2(id, device);
}

nvmlReturn_t nvmlDeviceGetIndex(nvmlDevice_t device, unsigned int* index) {
  return with_gpu(device, [&](const StatusGpu& gpu, const Status& status) {
    if (index == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *index = index_of(gpu, status);
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char* name, unsigned int length) {
  return with_gpu(device,
                  [&](const StatusGpu& gpu, const Status&) { return give_text(gpu.name.data(), name, length); });
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char* uuid, unsigned int length) {
  return with_gpu(device,
                  [&](const StatusGpu& gpu, const Status&) { return give_text(gpu.uuid.data(), uuid, length); });
}

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t* pci) {
  return give_pci(device, pci, sizeof *pci);
}

nvmlReturn_t nvmlDeviceGetPciInfo_v2(nvmlDevice_t device, nvmlPciInfo_t* pci) {
  return give_pci(device, pci, offsetof(nvmlPciInfo_t, busId));
}

nvmlReturn_t nvmlDeviceGetPciInfo(nvmlDevice_t device, nvmlPciInfo_t* pci) {
  return give_pci(device, pci, offsetof(nvmlPciInfo_t, pciSubSystemId));
}

nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int* major, int* minor) {
  return with_gpu(device, [&](const StatusGpu& gpu, const Status&) {
    if (major == nullptr || minor == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *major = static_cast<int>(gpu.compute_major);
    *minor = static_cast<int>(gpu.compute_minor);
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetArchitecture(nvmlDevice_t device, nvmlDeviceArchitecture_t* architecture) {
  return with_gpu(device, [&](const StatusGpu& gpu, const Status&) {
    if (architecture == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *architecture = architecture_of(gpu.compute_major, gpu.compute_minor);
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetComputeMode(nvmlDevice_t device, nvmlComputeMode_t* mode) {
  return with_gpu(device, [&](const StatusGpu&, const Status&) {
    if (mode == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *mode = NVML_COMPUTEMODE_DEFAULT;  // any number of the VM's processes may use it
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetDriverModel_v2(nvmlDevice_t device, nvmlDriverModel_t*, nvmlDriverModel_t*) {
  // Driver models are Windows's.
  return with_gpu(device, [](const StatusGpu&, const Status&) { return NVML_ERROR_NOT_SUPPORTED; });
}

nvmlReturn_t nvmlDeviceGetDriverModel(nvmlDevice_t device, nvmlDriverModel_t* current, nvmlDriverModel_t* pending) {
  return nvmlDeviceGetDriverModel_v2(device, current, pending);
}
