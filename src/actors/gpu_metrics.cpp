#include "actors/gpu_metrics.hpp"

#include <optional>

#include "actors/metric_family.hpp"

namespace vgpu::daemon {
namespace {

using prometheus::MetricType;

struct Sensor {
  const char* name;
  const char* help;
  std::optional<double> GpuReadings::*reading;
};

constexpr Sensor kSensors[] = {
    {"vgpu_gpu_temperature_celsius", "Temperature of the GPU.", &GpuReadings::temperature_celsius},
    {"vgpu_gpu_power_watts", "Power that the GPU draws.", &GpuReadings::power_watts},
    {"vgpu_gpu_power_limit_watts", "Power that the GPU may draw.", &GpuReadings::power_limit_watts},
    {"vgpu_gpu_sm_clock_hertz", "Clock of the multiprocessors.", &GpuReadings::sm_clock_hertz},
    {"vgpu_gpu_sm_clock_max_hertz", "Highest clock of the multiprocessors.", &GpuReadings::sm_clock_max_hertz},
    {"vgpu_gpu_memory_clock_hertz", "Clock of device memory.", &GpuReadings::memory_clock_hertz},
    {"vgpu_gpu_memory_clock_max_hertz", "Highest clock of device memory.", &GpuReadings::memory_clock_max_hertz},
    {"vgpu_gpu_utilization_ratio", "Part of the driver's last sample period in which a kernel ran, 0 to 1.",
     &GpuReadings::utilization},
    {"vgpu_gpu_memory_utilization_ratio",
     "Part of the driver's last sample period in which device memory was read or written, 0 to 1.",
     &GpuReadings::memory_utilization},
};

}  // namespace

std::vector<prometheus::MetricFamily> gpu_metrics(const std::vector<GpuState>& states, const PoolGpus& pools) {
  Family info("vgpu_gpu_info", "A GPU that pools may use: 1.", MetricType::Gauge);
  Family healthy("vgpu_gpu_healthy", "Whether the GPU gets work: 1, or 0 after a fatal Xid or its loss.",
                 MetricType::Gauge);
  Family in_pool("vgpu_pool_gpu_info", "Sessions of the pool may be placed on this GPU: 1.", MetricType::Gauge);
  Family total("vgpu_gpu_memory_total_bytes", "Device memory of the GPU.", MetricType::Gauge);
  Family used("vgpu_gpu_memory_used_bytes", "Device memory that is in use, by everybody on the machine.",
              MetricType::Gauge);
  Family ecc("vgpu_gpu_ecc_errors_total", "ECC errors since the driver was loaded.", MetricType::Counter);
  Family xids("vgpu_gpu_xid_errors_total", "Xid errors since vgpud started, by their number.", MetricType::Counter);
  for (const auto& [gpu, readings, met, unhealthy] : states) {
    info.add({{"uuid", gpu.uuid},
              {"name", gpu.name},
              {"pci_bus_id", gpu.pci_bus_id},
              {"index", std::to_string(gpu.index)},
              {"driver_version", gpu.driver_version}},
             1.0);
    healthy.add({{"uuid", gpu.uuid}}, unhealthy.empty() ? 1.0 : 0.0);
    total.add({{"uuid", gpu.uuid}}, gpu.memory_bytes);
    if (readings.memory_used_bytes) used.add({{"uuid", gpu.uuid}}, *readings.memory_used_bytes);
    if (readings.ecc_corrected) ecc.add({{"uuid", gpu.uuid}, {"kind", "corrected"}}, *readings.ecc_corrected);
    if (readings.ecc_uncorrected) ecc.add({{"uuid", gpu.uuid}, {"kind", "uncorrected"}}, *readings.ecc_uncorrected);
    for (const auto& [xid, count] : met) xids.add({{"uuid", gpu.uuid}, {"xid", std::to_string(xid)}}, count);
  }
  for (const auto& [pool, uuid] : pools) in_pool.add({{"pool", pool}, {"uuid", uuid}}, 1.0);
  std::vector<prometheus::MetricFamily> families;
  for (Family* family : {&info, &in_pool, &healthy, &total, &used, &ecc, &xids})
    if (!family->empty()) families.push_back(family->take());
  for (const Sensor& sensor : kSensors) {
    Family family(sensor.name, sensor.help, MetricType::Gauge);
    for (const GpuState& state : states)
      if (const auto& value = state.readings.*sensor.reading) family.add({{"uuid", state.gpu.uuid}}, *value);
    if (!family.empty()) families.push_back(family.take());
  }
  return families;
}

}  // namespace vgpu::daemon
