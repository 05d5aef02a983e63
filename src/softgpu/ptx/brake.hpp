#pragma once
#include <chrono>
#include <cstdint>

namespace vgpu::softgpu::ptx {

/// Makes launches last as long as they would on a device that runs so many lane-instructions a second, however fast or
/// busy the machine is. The launches that share one share its rate. Not thread-safe: the pool that runs the launches
/// calls it under its mutex.
class Brake {
 public:
  using Clock = std::chrono::steady_clock;

  /// lane_instructions_per_second > 0.
  explicit Brake(std::uint64_t lane_instructions_per_second) : rate_(lane_instructions_per_second) {}

  std::uint64_t rate() const noexcept { return rate_; }
  /// A launch begins or ends. Time without a launch earns no credit; what a slow machine falls behind within one does.
  void begin(Clock::time_point now) noexcept {
    if (launches_++ == 0) {
      start_ = now;
      executed_ = 0;
    }
  }
  void end() noexcept { --launches_; }
  /// Work was done; returns when the device would have done it.
  Clock::time_point charge(std::uint64_t lane_instructions) noexcept {
    executed_ += lane_instructions;
    const double seconds = static_cast<double>(executed_) / static_cast<double>(rate_);
    return start_ + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  }

 private:
  const std::uint64_t rate_;
  unsigned launches_ = 0;
  Clock::time_point start_;
  std::uint64_t executed_ = 0;  ///< since start_
};

}  // namespace vgpu::softgpu::ptx
