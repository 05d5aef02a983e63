#include "actors/gpu_watch.hpp"

#include <array>
#include <chrono>
#include <utility>

#include "actors/xid.hpp"

namespace vgpu::daemon {
namespace {

constexpr std::chrono::milliseconds kPeriod{2'000};
/// So long the driver may keep the thread, and with it the daemon's end.
constexpr unsigned kLongestWait = 1'000;

/// True if the GPU is there no more, or works no more until it is reset.
bool is_gone(nvmlReturn_t result) noexcept {
  return result == NVML_ERROR_GPU_IS_LOST || result == NVML_ERROR_RESET_REQUIRED;
}

}  // namespace

GpuWatch::GpuWatch(std::unique_ptr<Nvml> nvml, bool software) : nvml_(std::move(nvml)), software_(software) {
  unsigned count = 0;
  if (nvml_->nvmlDeviceGetCount_v2(&count) != NVML_SUCCESS) return;
  for (unsigned i = 0; i < count; ++i) {
    nvmlDevice_t device = nullptr;
    if (nvml_->nvmlDeviceGetHandleByIndex_v2(i, &device) == NVML_SUCCESS) describe(device, i);
  }
}

GpuWatch::~GpuWatch() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  ending_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void GpuWatch::describe(nvmlDevice_t device, std::uint32_t index) {
  Gpu gpu;
  std::array<char, NVML_DEVICE_NAME_V2_BUFFER_SIZE> text{};
  if (nvml_->nvmlDeviceGetUUID(device, text.data(), text.size()) != NVML_SUCCESS) return;
  gpu.uuid = text.data();
  if (nvml_->nvmlDeviceGetName(device, text.data(), text.size()) == NVML_SUCCESS) gpu.name = text.data();
  if (nvml_->nvmlSystemGetDriverVersion(text.data(), text.size()) == NVML_SUCCESS) gpu.driver_version = text.data();
  nvml_->nvmlSystemGetCudaDriverVersion_v2(&gpu.cuda_driver_version);
  if (nvmlPciInfo_t pci{}; nvml_->nvmlDeviceGetPciInfo_v3(device, &pci) == NVML_SUCCESS) gpu.pci_bus_id = pci.busId;
  if (nvmlMemory_t memory{}; nvml_->nvmlDeviceGetMemoryInfo(device, &memory) == NVML_SUCCESS)
    gpu.memory_bytes = memory.total;
  nvml_->nvmlDeviceGetCudaComputeCapability(device, &gpu.compute_major, &gpu.compute_minor);
  gpu.index = index;
  gpu.software = software_;
  nvmlReturn_t ignored = NVML_SUCCESS;
  watched_.push_back({device, {gpu, read(device, ignored), {}, {}}});
  gpus_.push_back(std::move(gpu));
}

void GpuWatch::start(OnUnhealthy on_unhealthy) {
  on_unhealthy_ = std::move(on_unhealthy);
  if (!watched_.empty()) thread_ = std::thread(&GpuWatch::run, this);
}

std::vector<GpuState> GpuWatch::states() const {
  const std::lock_guard lock(mutex_);
  std::vector<GpuState> states;
  for (const Watched& one : watched_) states.push_back(one.state);
  return states;
}

void GpuWatch::forgive() {
  const std::lock_guard lock(mutex_);
  for (Watched& one : watched_) one.state.unhealthy.clear();
}

void GpuWatch::run() {
  nvmlEventSet_t events = nullptr;
  bool has_events = nvml_->nvmlEventSetCreate(&events) == NVML_SUCCESS;
  if (has_events) {
    bool any = false;
    for (const Watched& one : watched_)
      any |= nvml_->nvmlDeviceRegisterEvents(one.device, nvmlEventTypeXidCriticalError, events) == NVML_SUCCESS;
    if (!any) {
      nvml_->nvmlEventSetFree(events);
      has_events = false;
    }
  }
  // A driver without sensors and events, the software GPU's, has nothing more to say than it has said.
  bool any_reading = has_events;
  for (const Watched& one : watched_) {
    GpuReadings none;
    none.memory_used_bytes = one.state.readings.memory_used_bytes;
    any_reading |= !(one.state.readings == none);
  }
  if (!any_reading) return;
  do look();
  while (wait(has_events ? events : nullptr));
  if (has_events) nvml_->nvmlEventSetFree(events);
}

bool GpuWatch::wait(nvmlEventSet_t events) {
  const auto end = std::chrono::steady_clock::now() + kPeriod;
  if (events == nullptr) {
    std::unique_lock lock(mutex_);
    return !ending_.wait_until(lock, end, [this] { return ends_; });
  }
  while (std::chrono::steady_clock::now() < end) {
    nvmlEventData_t event{};
    const nvmlReturn_t result = nvml_->nvmlEventSetWait_v2(events, &event, kLongestWait);
    if (result == NVML_SUCCESS && (event.eventType & nvmlEventTypeXidCriticalError) != 0) note_xid(event);
    std::unique_lock lock(mutex_);
    if (ends_) return false;
    if (result != NVML_SUCCESS && result != NVML_ERROR_TIMEOUT)  // a lost GPU may end every wait at once
      return !ending_.wait_until(lock, end, [this] { return ends_; });
  }
  return true;
}

GpuReadings GpuWatch::read(nvmlDevice_t device, nvmlReturn_t& result) const {
  GpuReadings readings;
  unsigned value = 0;
  const auto give = [&](std::optional<double>& reading, nvmlReturn_t got, double unit) {
    if (got == NVML_SUCCESS) reading = value * unit;
    if (is_gone(got)) result = got;
  };
  give(readings.temperature_celsius, nvml_->nvmlDeviceGetTemperature(device, NVML_TEMPERATURE_GPU, &value), 1);
  give(readings.power_watts, nvml_->nvmlDeviceGetPowerUsage(device, &value), 1e-3);
  give(readings.power_limit_watts, nvml_->nvmlDeviceGetEnforcedPowerLimit(device, &value), 1e-3);
  give(readings.sm_clock_hertz, nvml_->nvmlDeviceGetClockInfo(device, NVML_CLOCK_SM, &value), 1e6);
  give(readings.sm_clock_max_hertz, nvml_->nvmlDeviceGetMaxClockInfo(device, NVML_CLOCK_SM, &value), 1e6);
  give(readings.memory_clock_hertz, nvml_->nvmlDeviceGetClockInfo(device, NVML_CLOCK_MEM, &value), 1e6);
  give(readings.memory_clock_max_hertz, nvml_->nvmlDeviceGetMaxClockInfo(device, NVML_CLOCK_MEM, &value), 1e6);
  if (nvmlUtilization_t rates{}; nvml_->nvmlDeviceGetUtilizationRates(device, &rates) == NVML_SUCCESS) {
    readings.utilization = rates.gpu / 100.0;
    readings.memory_utilization = rates.memory / 100.0;
  }
  if (nvmlMemory_t memory{}; nvml_->nvmlDeviceGetMemoryInfo(device, &memory) == NVML_SUCCESS)
    readings.memory_used_bytes = memory.used;
  const auto ecc = [&](std::optional<std::uint64_t>& reading, nvmlMemoryErrorType_t type) {
    unsigned long long count = 0;
    if (nvml_->nvmlDeviceGetTotalEccErrors(device, type, NVML_VOLATILE_ECC, &count) == NVML_SUCCESS) reading = count;
  };
  ecc(readings.ecc_corrected, NVML_MEMORY_ERROR_TYPE_CORRECTED);
  ecc(readings.ecc_uncorrected, NVML_MEMORY_ERROR_TYPE_UNCORRECTED);
  return readings;
}

void GpuWatch::look() {
  for (std::size_t i = 0; i < watched_.size(); ++i) {  // its length never changes after the constructor
    nvmlReturn_t result = NVML_SUCCESS;
    GpuReadings readings = read(watched_[i].device, result);  // not under the lock: a driver may take long
    {
      const std::lock_guard lock(mutex_);
      watched_[i].state.readings = std::move(readings);
    }
    if (result != NVML_SUCCESS) mark_unhealthy(i, nvml_->text(result));
  }
}

void GpuWatch::note_xid(const nvmlEventData_t& event) {
  for (std::size_t i = 0; i < watched_.size(); ++i) {
    if (watched_[i].device != event.device) continue;
    {
      const std::lock_guard lock(mutex_);
      ++watched_[i].state.xids[event.eventData];
    }
    if (const char* const text = fatal_xid_text(event.eventData))
      mark_unhealthy(i, "Xid " + std::to_string(event.eventData) + ": " + text);
  }
}

void GpuWatch::mark_unhealthy(std::size_t place, const std::string& reason) {
  {
    const std::lock_guard lock(mutex_);
    if (!watched_[place].state.unhealthy.empty()) return;
    watched_[place].state.unhealthy = reason;
  }
  if (on_unhealthy_) on_unhealthy_(gpus_[place], reason);
}

}  // namespace vgpu::daemon
