#pragma once
#include <filesystem>
#include <memory>
#include <string>

#include "common/nvml_api.h"

namespace vgpu::daemon {

/// NVML, loaded at run time: NVIDIA's libnvidia-ml.so.1, or the software GPU's. It is initialized while this lives and
/// stays loaded for ever. Unlike CUDA it may be used by a process that starts workers. Any thread.
class Nvml {
 public:
  /// Null: `error` says why.
  static std::unique_ptr<Nvml> load(const std::filesystem::path& library, std::string& error);
  ~Nvml();
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  /// What the library says of a result.
  std::string text(nvmlReturn_t result) const;

  // A function that the library lacks answers NVML_ERROR_FUNCTION_NOT_FOUND.
#define VGPU_NVML_FUNCTIONS(FUNCTION)          \
  FUNCTION(nvmlShutdown)                       \
  FUNCTION(nvmlSystemGetDriverVersion)         \
  FUNCTION(nvmlSystemGetCudaDriverVersion_v2)  \
  FUNCTION(nvmlDeviceGetCount_v2)              \
  FUNCTION(nvmlDeviceGetHandleByIndex_v2)      \
  FUNCTION(nvmlDeviceGetHandleByUUID)          \
  FUNCTION(nvmlDeviceGetName)                  \
  FUNCTION(nvmlDeviceGetUUID)                  \
  FUNCTION(nvmlDeviceGetPciInfo_v3)            \
  FUNCTION(nvmlDeviceGetCudaComputeCapability) \
  FUNCTION(nvmlDeviceGetMemoryInfo)            \
  FUNCTION(nvmlDeviceGetTemperature)           \
  FUNCTION(nvmlDeviceGetPowerUsage)            \
  FUNCTION(nvmlDeviceGetEnforcedPowerLimit)    \
  FUNCTION(nvmlDeviceGetClockInfo)             \
  FUNCTION(nvmlDeviceGetMaxClockInfo)          \
  FUNCTION(nvmlDeviceGetUtilizationRates)      \
  FUNCTION(nvmlDeviceGetTotalEccErrors)        \
  FUNCTION(nvmlEventSetCreate)                 \
  FUNCTION(nvmlEventSetFree)                   \
  FUNCTION(nvmlDeviceRegisterEvents)           \
  FUNCTION(nvmlEventSetWait_v2)
#define FUNCTION(name) decltype(&::name) name = nullptr;
  VGPU_NVML_FUNCTIONS(FUNCTION)
#undef FUNCTION

 private:
  Nvml() = default;
  decltype(&::nvmlErrorString) error_string_ = nullptr;
};

}  // namespace vgpu::daemon
