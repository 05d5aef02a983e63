#pragma once
#include <chrono>
#include <string>

#include "driver.hpp"

namespace vgpu::bench {

using Clock = std::chrono::steady_clock;

inline double microseconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::micro>(to - from).count();
}

/// The first device with its primary context, a stream, an event and the kernels of bench/kernels.cu. All but the
/// constructor may be called from any thread that made the context current; errors are std::runtime_error.
class Device {
 public:
  explicit Device(const std::string& library);

  const Driver& driver() const noexcept { return driver_; }
  CUstream stream() const noexcept { return stream_; }
  CUevent event() const noexcept { return event_; }
  /// A kernel that does nothing.
  CUfunction empty() const noexcept { return empty_; }
  CUfunction function(const char* name) const;
  /// What kernels.cu was compiled to: machine code and PTX.
  static const void* image() noexcept;

  void launch() const;
  void synchronize() const;

 private:
  Driver driver_;
  CUmodule module_ = nullptr;
  CUfunction empty_ = nullptr;
  CUstream stream_ = nullptr;
  CUevent event_ = nullptr;
};

}  // namespace vgpu::bench
