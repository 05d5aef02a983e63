#include "smi/facts.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <chrono>
#include <ctime>

namespace vgpu::smi {
namespace {

/// The host's end is gone, or never was there: nothing that is asked further can be answered.
bool ends_all(nvmlReturn_t result) noexcept {
  return result == NVML_ERROR_UNINITIALIZED || result == NVML_ERROR_DRIVER_NOT_LOADED ||
         result == NVML_ERROR_NO_PERMISSION || result == NVML_ERROR_LIB_RM_VERSION_MISMATCH;
}

bool known(nvmlReturn_t result) {
  if (ends_all(result)) throw Failure{result};
  return result == NVML_SUCCESS;
}

/// What a question writes behind its last argument.
template <typename T, typename... Fixed, typename... Given>
std::optional<T> ask(nvmlReturn_t (*question)(Fixed...), Given... given) {
  T value{};
  if (!known(question(given..., &value))) return std::nullopt;
  return value;
}

template <typename... Fixed, typename... Given>
std::optional<std::string> ask_text(nvmlReturn_t (*question)(Fixed...), Given... given) {
  std::array<char, 256> text{};
  if (!known(question(given..., text.data(), static_cast<unsigned int>(text.size())))) return std::nullopt;
  return std::string(text.data());
}

void tell_time(Facts& facts) {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  std::array<char, 64> text{};
  std::strftime(text.data(), text.size(), "%Y/%m/%d %H:%M:%S", &local);
  const auto milliseconds =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  facts.timestamp = fmt::format("{}.{:03}", text.data(), milliseconds);
  std::strftime(text.data(), text.size(), "%a %b %e %H:%M:%S %Y", &local);
  facts.date = text.data();
}

std::vector<Process> read_processes(nvmlDevice_t device) {
  std::vector<nvmlProcessInfo_t> infos;
  unsigned int count = 0;
  // Processes come and go between two questions.
  for (int tries = 0; tries < 5; ++tries) {
    const nvmlReturn_t result =
        nvmlDeviceGetComputeRunningProcesses_v3(device, &count, infos.empty() ? nullptr : infos.data());
    if (result != NVML_ERROR_INSUFFICIENT_SIZE) {
      infos.resize(known(result) ? count : 0);
      break;
    }
    count += 8;
    infos.resize(count);
  }
  std::vector<Process> processes;
  for (const nvmlProcessInfo_t& info : infos) {
    Process process{info.pid, ask_text(nvmlSystemGetProcessName, info.pid).value_or("[Not Found]"), {}};
    if (info.usedGpuMemory != ~0ull) process.memory_bytes = info.usedGpuMemory;
    processes.push_back(std::move(process));
  }
  return processes;
}

void read_readings(nvmlDevice_t device, Gpu& gpu) {
  nvmlMemory_v2_t memory{};
  memory.version = nvmlMemory_v2;
  if (known(nvmlDeviceGetMemoryInfo_v2(device, &memory))) gpu.memory = memory;
  gpu.utilization = ask<nvmlUtilization_t>(nvmlDeviceGetUtilizationRates, device);
  gpu.temperature = ask<unsigned int>(nvmlDeviceGetTemperature, device, NVML_TEMPERATURE_GPU);
  gpu.power = ask<unsigned int>(nvmlDeviceGetPowerUsage, device);
  gpu.power_limit = ask<unsigned int>(nvmlDeviceGetEnforcedPowerLimit, device);
  gpu.graphics_clock = ask<unsigned int>(nvmlDeviceGetClockInfo, device, NVML_CLOCK_GRAPHICS);
  gpu.sm_clock = ask<unsigned int>(nvmlDeviceGetClockInfo, device, NVML_CLOCK_SM);
  gpu.memory_clock = ask<unsigned int>(nvmlDeviceGetClockInfo, device, NVML_CLOCK_MEM);
  gpu.max_graphics_clock = ask<unsigned int>(nvmlDeviceGetMaxClockInfo, device, NVML_CLOCK_GRAPHICS);
  gpu.max_sm_clock = ask<unsigned int>(nvmlDeviceGetMaxClockInfo, device, NVML_CLOCK_SM);
  gpu.max_memory_clock = ask<unsigned int>(nvmlDeviceGetMaxClockInfo, device, NVML_CLOCK_MEM);
  gpu.ecc_corrected =
      ask<unsigned long long>(nvmlDeviceGetTotalEccErrors, device, NVML_MEMORY_ERROR_TYPE_CORRECTED, NVML_VOLATILE_ECC);
  gpu.ecc_uncorrected = ask<unsigned long long>(nvmlDeviceGetTotalEccErrors, device, NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
                                                NVML_VOLATILE_ECC);
}

Gpu read_gpu(nvmlDevice_t device) {
  Gpu gpu;
  gpu.index = ask<unsigned int>(nvmlDeviceGetIndex, device).value_or(0);
  gpu.name = ask_text(nvmlDeviceGetName, device);
  gpu.uuid = ask_text(nvmlDeviceGetUUID, device);
  gpu.pci = ask<nvmlPciInfo_t>(nvmlDeviceGetPciInfo_v3, device);
  if (gpu.pci) gpu.bus_id = gpu.pci->busId;
  int major = 0, minor = 0;
  if (known(nvmlDeviceGetCudaComputeCapability(device, &major, &minor)))
    gpu.compute_capability = fmt::format("{}.{}", major, minor);
  nvmlEnableState_t current{}, pending{};
  if (known(nvmlDeviceGetEccMode(device, &current, &pending)))
    gpu.ecc_mode = current == NVML_FEATURE_ENABLED ? "Enabled" : "Disabled";
  if (const auto mode = ask<nvmlComputeMode_t>(nvmlDeviceGetComputeMode, device); mode == NVML_COMPUTEMODE_DEFAULT)
    gpu.compute_mode = "Default";
  read_readings(device, gpu);
  gpu.processes = read_processes(device);
  return gpu;
}

nvmlDevice_t find(const std::string& name) {
  nvmlDevice_t device = nullptr;
  unsigned int index = 0;
  const auto read = std::from_chars(name.data(), name.data() + name.size(), index);
  if (read.ec == std::errc() && read.ptr == name.data() + name.size()) {
    if (known(nvmlDeviceGetHandleByIndex_v2(index, &device))) return device;
  } else if (known(nvmlDeviceGetHandleByUUID(name.c_str(), &device)) ||
             known(nvmlDeviceGetHandleByPciBusId_v2(name.c_str(), &device))) {
    return device;
  }
  throw Failure{NVML_ERROR_NOT_FOUND};
}

}  // namespace

Facts read_facts(const std::vector<std::string>& only) {
  Facts facts;
  tell_time(facts);
  facts.driver_version = ask_text(nvmlSystemGetDriverVersion);
  if (const auto version = ask<int>(nvmlSystemGetCudaDriverVersion_v2))
    facts.cuda_version = fmt::format("{}.{}", *version / 1000, *version % 1000 / 10);
  facts.count = ask<unsigned int>(nvmlDeviceGetCount_v2).value_or(0);
  for (const std::string& name : only) facts.gpus.push_back(read_gpu(find(name)));
  for (unsigned int i = 0; only.empty() && i < facts.count; ++i) {
    nvmlDevice_t device = nullptr;
    if (known(nvmlDeviceGetHandleByIndex_v2(i, &device))) facts.gpus.push_back(read_gpu(device));
  }
  if (facts.gpus.empty()) throw Failure{NVML_ERROR_NOT_FOUND};
  return facts;
}

}  // namespace vgpu::smi
