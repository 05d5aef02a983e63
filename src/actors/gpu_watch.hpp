#pragma once
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "actors/nvml.hpp"

namespace vgpu::daemon {

/// What a GPU is. It never changes.
struct Gpu {
  std::string uuid;  ///< as nvidia-smi -L prints it
  std::string name;
  std::string pci_bus_id;  ///< "00000000:F0:00.0"
  std::uint64_t memory_bytes = 0;
  int compute_major = 0;
  int compute_minor = 0;
  std::uint32_t index = 0;  ///< NVML's, in the order of PCI bus ids
  bool software = false;
  std::string driver_version;   ///< "580.159.04"
  int cuda_driver_version = 0;  ///< 13000: 13.0
};

/// What its sensors say; nothing: it has no such sensor.
struct GpuReadings {
  std::optional<double> temperature_celsius;
  std::optional<double> power_watts;
  std::optional<double> power_limit_watts;
  std::optional<double> sm_clock_hertz;
  std::optional<double> sm_clock_max_hertz;
  std::optional<double> memory_clock_hertz;
  std::optional<double> memory_clock_max_hertz;
  std::optional<double> utilization;               ///< 0 to 1: part of the last sample period in which a kernel ran
  std::optional<double> memory_utilization;        ///< 0 to 1: in which device memory was read or written
  std::optional<std::uint64_t> memory_used_bytes;  ///< by everybody on the machine
  std::optional<std::uint64_t> ecc_corrected;      ///< since the driver was loaded
  std::optional<std::uint64_t> ecc_uncorrected;
  bool operator==(const GpuReadings&) const = default;
};

struct GpuState {
  Gpu gpu;
  GpuReadings readings;
  std::map<std::uint64_t, std::uint64_t> xids;  ///< how often each Xid was met since vgpud started
  std::string unhealthy;                        ///< why the GPU gets no work; empty: it is well
};

/// The GPUs of one driver: what they are, and, every two seconds on a thread of its own, how they are. Any thread.
///
/// A GPU that is lost, or met an Xid that is fatal (xid.hpp), is unhealthy from then on, whatever it says later, until
/// forgive(): it may answer and still compute wrong results.
class GpuWatch {
 public:
  /// Called on the watch's thread when a GPU becomes unhealthy.
  using OnUnhealthy = std::function<void(const Gpu& gpu, const std::string& reason)>;

  /// Asks what GPUs there are. `software`: whether they are software GPUs. A GPU that can't be asked is left out.
  GpuWatch(std::unique_ptr<Nvml> nvml, bool software);
  ~GpuWatch();
  GpuWatch(const GpuWatch&) = delete;
  GpuWatch& operator=(const GpuWatch&) = delete;

  /// In NVML's order.
  const std::vector<Gpu>& gpus() const noexcept { return gpus_; }
  /// Starts to watch. At most once.
  void start(OnUnhealthy on_unhealthy);
  std::vector<GpuState> states() const;
  /// Takes every GPU as healthy again, until it is seen not to be.
  void forgive();

 private:
  struct Watched {
    nvmlDevice_t device;
    GpuState state;
  };
  void describe(nvmlDevice_t device, std::uint32_t index);
  void run();
  /// Reads one GPU's sensors; `result` says whether it answers at all.
  GpuReadings read(nvmlDevice_t device, nvmlReturn_t& result) const;
  void look();
  void note_xid(const nvmlEventData_t& event);
  void mark_unhealthy(std::size_t place, const std::string& reason);
  /// Waits until the next look, for an event of the driver where it has any. False: the watch ends.
  bool wait(nvmlEventSet_t events);

  const std::unique_ptr<Nvml> nvml_;
  const bool software_;
  std::vector<Gpu> gpus_;
  OnUnhealthy on_unhealthy_;
  mutable std::mutex mutex_;  ///< guards what follows
  std::condition_variable ending_;
  bool ends_ = false;
  std::vector<Watched> watched_;
  std::thread thread_;
};

}  // namespace vgpu::daemon
