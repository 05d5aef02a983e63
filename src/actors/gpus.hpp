#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "actors/config.hpp"
#include "actors/driver_choice.hpp"
#include "actors/gpu_watch.hpp"

namespace vgpu::daemon {

/// The GPUs of this machine that pools use, as far as NVML knows them. Filled at the start by one thread, then any
/// thread.
class Gpus {
 public:
  /// Finds the GPUs of NVIDIA's driver. False: there is no NVML, and `error` says why; they are then used unseen.
  bool add_nvidia(const std::filesystem::path& nvml, std::string& error);
  /// The same for so many software GPUs of this configuration.
  bool add_software(const std::filesystem::path& nvml, std::uint32_t devices, const SoftwareGpuConfig& config,
                    std::string& error);

  /// Those of NVIDIA's driver, or the software GPUs, in NVML's order.
  std::vector<Gpu> list(bool software) const;

  /// Starts to watch them all; see GpuWatch.
  void start(const GpuWatch::OnUnhealthy& on_unhealthy);
  /// Stops, so that no handler is called any more.
  void stop() { watches_.clear(); }

  std::vector<GpuState> states() const;
  /// Why one of these GPUs is unhealthy; empty: none is.
  std::string unhealthy(const std::vector<std::string>& uuids) const;
  /// Takes all as healthy until they are seen not to be: the operator has looked after them.
  void forgive();

 private:
  bool add(const std::filesystem::path& nvml, bool software, std::string& error);

  std::vector<std::unique_ptr<GpuWatch>> watches_;
};

/// What a session is placed on: one GPU, or with `auto` and "software:N" all of them.
struct GpuPlace {
  Driver driver;
  std::vector<std::string> uuids;  ///< that a session sees; none: NVML does not know them
  std::string text;                ///< for people: "GPU-…", "software", "auto"
};

/// The places of a pool, one for each GPU that it names. Empty: `error` says what is wrong and what to do.
std::vector<GpuPlace> gpu_places(const PoolConfig& pool, const SoftwareGpuConfig& software, const DriverSearch& search,
                                 const Gpus& gpus, std::string& error);

/// Finds the GPUs that these pools may use. Adds to `warnings` why some can't be looked at.
void find_gpus(const Config& config, const DriverSearch& search, Gpus& gpus, std::vector<std::string>& warnings);

}  // namespace vgpu::daemon
