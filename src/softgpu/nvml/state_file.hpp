#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace vgpu::softgpu {

/// What somebody says that the software GPUs' sensors read, so that what watches GPUs can be tried without one:
///
///     {"devices": {"0": {"temperature": 41, "power": 70000, "lost": true}}, "xids": [{"device": 0, "xid": 79}]}
///
/// VGPU_SOFTGPU_NVML_STATE names the file. It may change at any time, best by a rename; what can't be read leaves what
/// was. A device has what is named of it: `temperature` (degrees Celsius), `power` and `power_limit` (milliwatts),
/// `sm_clock`, `memory_clock` and their `_max` (megahertz), `utilization` and `memory_utilization` (percent),
/// `memory_used` (bytes), `ecc_corrected`, `ecc_uncorrected`; `lost`: whether the GPU is lost. Each entry of `xids` is
/// one event; more are added at the end. One thread.
class StateFile {
 public:
  explicit StateFile(std::filesystem::path path) : path_(std::move(path)) {}

  bool exists() const noexcept { return !path_.empty(); }
  /// Reads the file if it has changed since.
  void refresh();

  std::optional<std::uint64_t> reading(unsigned device, const std::string& name) const;
  bool lost(unsigned device) const { return reading(device, "lost").value_or(0) != 0; }

  struct Xid {
    unsigned device = 0;
    std::uint64_t xid = 0;
  };
  /// All since the file is there, the oldest first.
  const std::vector<Xid>& xids() const noexcept { return xids_; }

 private:
  const std::filesystem::path path_;
  std::string text_;
  std::map<unsigned, std::map<std::string, std::uint64_t>> devices_;
  std::vector<Xid> xids_;
};

}  // namespace vgpu::softgpu
