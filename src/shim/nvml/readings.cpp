// Utilization, clocks, temperature, power, ECC: the VM's own share of the time, and the sensors of the whole GPU.
#include "shim/nvml/library.hpp"

using namespace vgpu::nvml;
using namespace vgpu::protocol;

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t* utilization) {
  return with_gpu(device, [&](const StatusGpu& gpu, const Status&) {
    if (utilization == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    if ((gpu.known & kKnowsUtilization) == 0) return NVML_ERROR_NOT_SUPPORTED;
    *utilization = {gpu.utilization_percent, gpu.memory_utilization_percent};
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, nvmlTemperatureSensors_t sensor, unsigned int* celsius) {
  if (is_initialized() && sensor != NVML_TEMPERATURE_GPU) return NVML_ERROR_INVALID_ARGUMENT;
  return give_known(device, kKnowsTemperature, &StatusGpu::temperature_celsius, celsius);
}

nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t device, nvmlTemperature_v1_t* temperature) {
  if (!is_initialized()) return NVML_ERROR_UNINITIALIZED;
  if (temperature == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  if (temperature->version != nvmlTemperature_v1) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
  if (temperature->sensorType != NVML_TEMPERATURE_GPU) return NVML_ERROR_INVALID_ARGUMENT;
  return give_known(device, kKnowsTemperature, &StatusGpu::temperature_celsius, &temperature->temperature);
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned int* milliwatts) {
  return give_known(device, kKnowsPower, &StatusGpu::power_milliwatts, milliwatts);
}

nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t device, unsigned int* milliwatts) {
  return give_known(device, kKnowsPowerLimit, &StatusGpu::power_limit_milliwatts, milliwatts);
}

nvmlReturn_t nvmlDeviceGetPowerManagementLimit(nvmlDevice_t device, unsigned int* milliwatts) {
  return nvmlDeviceGetEnforcedPowerLimit(device, milliwatts);
}

nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t device, nvmlClockType_t type, unsigned int* megahertz) {
  switch (type) {
    case NVML_CLOCK_GRAPHICS:  // the multiprocessors' clock is the graphics clock
    case NVML_CLOCK_SM:
      return give_known(device, kKnowsSmClock, &StatusGpu::sm_clock_megahertz, megahertz);
    case NVML_CLOCK_MEM:
      return give_known(device, kKnowsMemoryClock, &StatusGpu::memory_clock_megahertz, megahertz);
    default:
      return refuse("nvmlDeviceGetClockInfo of another clock");
  }
}

nvmlReturn_t nvmlDeviceGetMaxClockInfo(nvmlDevice_t device, nvmlClockType_t type, unsigned int* megahertz) {
  switch (type) {
    case NVML_CLOCK_GRAPHICS:
    case NVML_CLOCK_SM:
      return give_known(device, kKnowsSmClockMax, &StatusGpu::sm_clock_max_megahertz, megahertz);
    case NVML_CLOCK_MEM:
      return give_known(device, kKnowsMemoryClockMax, &StatusGpu::memory_clock_max_megahertz, megahertz);
    default:
      return refuse("nvmlDeviceGetMaxClockInfo of another clock");
  }
}

nvmlReturn_t nvmlDeviceGetClock(nvmlDevice_t device, nvmlClockType_t type, nvmlClockId_t id, unsigned int* megahertz) {
  if (id != NVML_CLOCK_ID_CURRENT) return refuse("nvmlDeviceGetClock of another clock");
  return nvmlDeviceGetClockInfo(device, type, megahertz);
}

nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, nvmlMemoryErrorType_t type, nvmlEccCounterType_t counter,
                                         unsigned long long* count) {
  if (counter != NVML_VOLATILE_ECC) return refuse("nvmlDeviceGetTotalEccErrors of NVML_AGGREGATE_ECC");
  switch (type) {
    case NVML_MEMORY_ERROR_TYPE_CORRECTED:
      return give_known(device, kKnowsEccCorrected, &StatusGpu::ecc_corrected, count);
    case NVML_MEMORY_ERROR_TYPE_UNCORRECTED:
      return give_known(device, kKnowsEccUncorrected, &StatusGpu::ecc_uncorrected, count);
    default:
      return is_initialized() ? NVML_ERROR_INVALID_ARGUMENT : NVML_ERROR_UNINITIALIZED;
  }
}

nvmlReturn_t nvmlDeviceGetEccMode(nvmlDevice_t device, nvmlEnableState_t* current, nvmlEnableState_t* pending) {
  return with_gpu(device, [&](const StatusGpu& gpu, const Status&) {
    if (current == nullptr || pending == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    // Errors are counted only where it is on.
    if ((gpu.known & kKnowsEccUncorrected) == 0) return NVML_ERROR_NOT_SUPPORTED;
    *current = *pending = NVML_FEATURE_ENABLED;
    return NVML_SUCCESS;
  });
}
