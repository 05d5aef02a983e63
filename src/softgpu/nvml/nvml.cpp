// The software GPU's NVML: libvgpu-softgpu-nvml.so, what a monitor loads in place of NVIDIA's libnvidia-ml. It names
// the software GPUs that the environment speaks of. A software GPU lives in the process that uses it, so nothing is
// known of its load or memory from outside; sensors there are none, but for what a StateFile says.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>

#include "common/nvml_api.h"
#include "softgpu/device_attributes.hpp"
#include "softgpu/identity.hpp"
#include "softgpu/nvml/state_file.hpp"
#include "softgpu/settings.hpp"

struct nvmlDevice_st {
  unsigned ordinal = 0;
};

struct nvmlEventSet_st {
  std::array<unsigned long long, vgpu::softgpu::kMostDevices> types{};
  std::size_t seen = 0;  ///< of the state file's events
};

namespace {

using vgpu::softgpu::Settings;
using vgpu::softgpu::StateFile;

constexpr int kCudaVersion = 13000;
constexpr unsigned kVendor = 0x1234, kProduct = 0x7671;

/// Guards everything below.
std::mutex mutex;
unsigned users = 0;
Settings settings;
std::unique_ptr<StateFile> state;
std::array<nvmlDevice_st, vgpu::softgpu::kMostDevices> devices;

const char* text_or_empty(const char* text) noexcept { return text != nullptr ? text : ""; }

template <typename Body>
nvmlReturn_t initialized(Body body) noexcept {
  try {
    const std::lock_guard lock(mutex);
    if (users == 0) return NVML_ERROR_UNINITIALIZED;
    state->refresh();
    return body();
  } catch (...) {
    return NVML_ERROR_MEMORY;
  }
}

/// The same for one device, which is there and not lost.
template <typename Body>
nvmlReturn_t with_device(nvmlDevice_t device, Body body) noexcept {
  return initialized([&] {
    if (device < devices.data() || device >= devices.data() + settings.devices) return NVML_ERROR_INVALID_ARGUMENT;
    if (state->lost(device->ordinal)) return NVML_ERROR_GPU_IS_LOST;
    return body(device->ordinal);
  });
}

template <typename T>
nvmlReturn_t reading(nvmlDevice_t device, const char* name, T* value) noexcept {
  return with_device(device, [&](unsigned ordinal) {
    if (value == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    const auto found = state->reading(ordinal, name);
    if (!found) return NVML_ERROR_NOT_SUPPORTED;
    *value = static_cast<T>(*found);
    return NVML_SUCCESS;
  });
}

nvmlReturn_t give(std::string_view text, char* buffer, unsigned length) noexcept {
  if (buffer == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  if (text.size() >= length) return NVML_ERROR_INSUFFICIENT_SIZE;
  std::memcpy(buffer, text.data(), text.size());
  buffer[text.size()] = '\0';
  return NVML_SUCCESS;
}

std::string uuid_text(unsigned ordinal) {
  const auto uuid = vgpu::softgpu::device_uuid(static_cast<int>(ordinal));
  std::string text = "GPU-";
  for (std::size_t i = 0; i < uuid.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    std::array<char, 3> byte{};
    std::snprintf(byte.data(), byte.size(), "%02x", uuid[i]);
    text += byte.data();
  }
  return text;
}

/// The next event that the set waits for.
bool next_event(nvmlEventSet_st& set, nvmlEventData_t& data) {
  const auto& xids = state->xids();
  while (set.seen < xids.size()) {
    const StateFile::Xid& xid = xids[set.seen++];
    if (xid.device >= settings.devices || (set.types[xid.device] & nvmlEventTypeXidCriticalError) == 0) continue;
    data = {&devices[xid.device], nvmlEventTypeXidCriticalError, xid.xid, 0, 0};
    return true;
  }
  return false;
}

}  // namespace

nvmlReturn_t nvmlInit_v2() {
  try {
    const std::lock_guard lock(mutex);
    if (users++ != 0) return NVML_SUCCESS;
    settings = vgpu::softgpu::read_settings();
    state = std::make_unique<StateFile>(text_or_empty(std::getenv("VGPU_SOFTGPU_NVML_STATE")));
    for (unsigned i = 0; i < devices.size(); ++i) devices[i].ordinal = i;
    return NVML_SUCCESS;
  } catch (...) {
    return NVML_ERROR_MEMORY;
  }
}

nvmlReturn_t nvmlShutdown() {
  const std::lock_guard lock(mutex);
  if (users == 0) return NVML_ERROR_UNINITIALIZED;
  --users;
  return NVML_SUCCESS;
}

const char* nvmlErrorString(nvmlReturn_t result) {
  switch (result) {
    case NVML_SUCCESS:
      return "The operation was successful";
    case NVML_ERROR_UNINITIALIZED:
      return "NVML was not first initialized with nvmlInit()";
    case NVML_ERROR_INVALID_ARGUMENT:
      return "A supplied argument is invalid";
    case NVML_ERROR_NOT_SUPPORTED:
      return "The requested operation is not available on target device";
    case NVML_ERROR_NOT_FOUND:
      return "A query to find an object was unsuccessful";
    case NVML_ERROR_INSUFFICIENT_SIZE:
      return "An input argument is not large enough";
    case NVML_ERROR_TIMEOUT:
      return "A user-provided timeout passed";
    case NVML_ERROR_GPU_IS_LOST:
      return "The GPU has fallen off the bus or has otherwise become inaccessible";
    default:
      return "Unknown error";
  }
}

nvmlReturn_t nvmlSystemGetDriverVersion(char* version, unsigned int length) {
  return initialized([&] { return give("software", version, length); });
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int* version) {
  return initialized([&] {
    if (version == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *version = kCudaVersion;
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int* count) {
  return initialized([&] {
    if (count == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *count = settings.devices;
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t* device) {
  return initialized([&] {
    if (device == nullptr || index >= settings.devices) return NVML_ERROR_INVALID_ARGUMENT;
    *device = &devices[index];
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char* uuid, nvmlDevice_t* device) {
  return initialized([&] {
    if (uuid == nullptr || device == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    for (unsigned i = 0; i < settings.devices; ++i) {
      if (uuid_text(i) != uuid) continue;
      *device = &devices[i];
      return NVML_SUCCESS;
    }
    return NVML_ERROR_NOT_FOUND;
  });
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char* name, unsigned int length) {
  return with_device(device, [&](unsigned) { return give(vgpu::softgpu::kDeviceName, name, length); });
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char* uuid, unsigned int length) {
  return with_device(device, [&](unsigned ordinal) { return give(uuid_text(ordinal), uuid, length); });
}

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t* pci) {
  return with_device(device, [&](unsigned ordinal) {
    if (pci == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    namespace limits = vgpu::softgpu::limits;
    *pci = {};
    pci->domain = limits::kPciDomain;
    pci->bus = limits::kPciBus + ordinal;
    pci->device = limits::kPciDevice;
    pci->pciDeviceId = kProduct << 16 | kVendor;
    std::snprintf(pci->busIdLegacy, sizeof pci->busIdLegacy, "%04X:%02X:%02X.0", pci->domain, pci->bus, pci->device);
    std::snprintf(pci->busId, sizeof pci->busId, "%08X:%02X:%02X.0", pci->domain, pci->bus, pci->device);
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int* major, int* minor) {
  return with_device(device, [&](unsigned) {
    if (major == nullptr || minor == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *major = vgpu::softgpu::limits::kComputeMajor;
    *minor = vgpu::softgpu::limits::kComputeMinor;
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t* memory) {
  return with_device(device, [&](unsigned ordinal) {
    if (memory == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    const std::uint64_t used = std::min(state->reading(ordinal, "memory_used").value_or(0), settings.memory_bytes);
    *memory = {settings.memory_bytes, settings.memory_bytes - used, used};
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, nvmlTemperatureSensors_t sensor, unsigned int* celsius) {
  if (sensor != NVML_TEMPERATURE_GPU) return NVML_ERROR_INVALID_ARGUMENT;
  return reading(device, "temperature", celsius);
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned int* milliwatts) {
  return reading(device, "power", milliwatts);
}

nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t device, unsigned int* milliwatts) {
  return reading(device, "power_limit", milliwatts);
}

nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t device, nvmlClockType_t type, unsigned int* megahertz) {
  return reading(device, type == NVML_CLOCK_MEM ? "memory_clock" : "sm_clock", megahertz);
}

nvmlReturn_t nvmlDeviceGetMaxClockInfo(nvmlDevice_t device, nvmlClockType_t type, unsigned int* megahertz) {
  return reading(device, type == NVML_CLOCK_MEM ? "memory_clock_max" : "sm_clock_max", megahertz);
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t* utilization) {
  if (utilization == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  const nvmlReturn_t result = reading(device, "utilization", &utilization->gpu);
  return result != NVML_SUCCESS ? result : reading(device, "memory_utilization", &utilization->memory);
}

nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, nvmlMemoryErrorType_t type, nvmlEccCounterType_t,
                                         unsigned long long* count) {
  return reading(device, type == NVML_MEMORY_ERROR_TYPE_CORRECTED ? "ecc_corrected" : "ecc_uncorrected", count);
}

nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t* set) {
  return initialized([&] {
    if (set == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    if (!state->exists()) return NVML_ERROR_NOT_SUPPORTED;  // nothing can ever happen
    *set = new nvmlEventSet_st;
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlEventSetFree(nvmlEventSet_t set) {
  return initialized([&] {
    delete set;
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long types, nvmlEventSet_t set) {
  return with_device(device, [&](unsigned ordinal) {
    if (set == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    set->types[ordinal] |= types;
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t* data, unsigned int timeout_ms) {
  constexpr std::chrono::milliseconds kLook{20};
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  for (;;) {
    const nvmlReturn_t result = initialized([&] {
      if (set == nullptr || data == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
      return next_event(*set, *data) ? NVML_SUCCESS : NVML_ERROR_TIMEOUT;
    });
    const auto left = deadline - std::chrono::steady_clock::now();
    if (result != NVML_ERROR_TIMEOUT || left <= left.zero()) return result;
    std::this_thread::sleep_for(std::min<std::chrono::nanoseconds>(left, kLook));
  }
}
