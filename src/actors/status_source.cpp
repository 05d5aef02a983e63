#include "actors/status_source.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

namespace vgpu::daemon {
namespace {

using protocol::StatusGpu;
using protocol::StatusProcess;
using protocol::u32;
using protocol::u64;

u32 percent(double share) { return static_cast<u32>(std::lround(std::clamp(share, 0.0, 1.0) * 100)); }

bool is_on(const ProcessUse& process, const std::string& uuid) {
  return std::find(process.gpus.begin(), process.gpus.end(), uuid) != process.gpus.end();
}

template <std::size_t N>
void set_text(std::array<char, N>& field, const std::string& text) {
  protocol::set_text(field, text.data(), text.size());
}

/// `unit`: how many of the reading's units one of the field's is.
template <typename T>
void set_reading(StatusGpu& seen, const std::optional<T>& reading, double unit, protocol::StatusKnown bit, u32& field) {
  if (!reading) return;
  field = static_cast<u32>(std::clamp(std::round(static_cast<double>(*reading) / unit), 0.0, 4e9));
  seen.known |= bit;
}

void set_readings(const GpuReadings& readings, StatusGpu& seen) {
  constexpr double kPercent = 0.01, kOne = 1, kMilli = 0.001, kMega = 1e6;
  set_reading(seen, readings.memory_utilization, kPercent, protocol::kKnowsMemoryUtilization,
              seen.memory_utilization_percent);
  set_reading(seen, readings.temperature_celsius, kOne, protocol::kKnowsTemperature, seen.temperature_celsius);
  set_reading(seen, readings.power_watts, kMilli, protocol::kKnowsPower, seen.power_milliwatts);
  set_reading(seen, readings.power_limit_watts, kMilli, protocol::kKnowsPowerLimit, seen.power_limit_milliwatts);
  set_reading(seen, readings.sm_clock_hertz, kMega, protocol::kKnowsSmClock, seen.sm_clock_megahertz);
  set_reading(seen, readings.sm_clock_max_hertz, kMega, protocol::kKnowsSmClockMax, seen.sm_clock_max_megahertz);
  set_reading(seen, readings.memory_clock_hertz, kMega, protocol::kKnowsMemoryClock, seen.memory_clock_megahertz);
  set_reading(seen, readings.memory_clock_max_hertz, kMega, protocol::kKnowsMemoryClockMax,
              seen.memory_clock_max_megahertz);
  if (readings.ecc_corrected) seen.known |= protocol::kKnowsEccCorrected;
  seen.ecc_corrected = readings.ecc_corrected.value_or(0);
  if (readings.ecc_uncorrected) seen.known |= protocol::kKnowsEccUncorrected;
  seen.ecc_uncorrected = readings.ecc_uncorrected.value_or(0);
}

StatusGpu seen_by_vm(const GpuState& state, const std::vector<ProcessUse>& use, u64 limit) {
  const Gpu& gpu = state.gpu;
  StatusGpu seen;
  set_text(seen.uuid, gpu.uuid);
  set_text(seen.name, gpu.name);
  set_text(seen.pci_bus_id, gpu.pci_bus_id);
  seen.compute_major = static_cast<u32>(gpu.compute_major);
  seen.compute_minor = static_cast<u32>(gpu.compute_minor);
  seen.healthy = state.unhealthy.empty() ? 1 : 0;
  set_readings(state.readings, seen);

  double share = 0;
  u64 used = 0;
  for (const ProcessUse& process : use) {
    if (!is_on(process, gpu.uuid)) continue;
    share += process.gpu_share;
    used += process.memory_bytes;
  }
  seen.utilization_percent = percent(share);
  seen.known |= protocol::kKnowsUtilization;
  const u64 device_free = gpu.memory_bytes - std::min(state.readings.memory_used_bytes.value_or(0), gpu.memory_bytes);
  seen.memory_total = limit != 0 ? std::min(gpu.memory_bytes, limit) : gpu.memory_bytes;
  seen.memory_used = std::min(used, seen.memory_total);
  seen.memory_free = std::min(device_free, seen.memory_total - seen.memory_used);
  return seen;
}

}  // namespace

void fill_status(const std::vector<GpuState>& gpus, const std::vector<ProcessUse>& use, const Limits& limits,
                 protocol::Status& status) {
  if (!gpus.empty()) {
    set_text(status.driver_version, gpus.front().gpu.driver_version);
    status.cuda_driver_version = gpus.front().gpu.cuda_driver_version;
  }
  status.gpu_count = static_cast<u32>(std::min<std::size_t>(gpus.size(), protocol::kStatusGpus));
  for (u32 i = 0; i < status.gpu_count; ++i) status.gpus[i] = seen_by_vm(gpus[i], use, limits[protocol::Limit::memory]);
  status.process_count = 0;
  for (const ProcessUse& process : use) {
    u32 on = 0;
    for (u32 i = 0; i < status.gpu_count; ++i) on |= is_on(process, gpus[i].gpu.uuid) ? u32{1} << i : 0;
    if (on == 0 || status.process_count == protocol::kStatusProcesses) continue;
    StatusProcess& listed = status.processes[status.process_count++];
    listed.pid = process.pid;
    listed.gpus = on;
    listed.memory_used = process.memory_bytes;
    listed.utilization_percent = percent(process.gpu_share);
    set_text(listed.name, process.name);
  }
}

}  // namespace vgpu::daemon
