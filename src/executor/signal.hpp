#pragma once
#include <atomic>
#include <cstdint>

namespace vgpu::executor {

/// Wakes one sleeping thread. A raise() between look() and sleep() is not lost.
class Signal {
 public:
  /// What to hand to sleep(); taken before the sleeper looks at what it would sleep for.
  std::uint32_t look() const noexcept { return count_.load(std::memory_order_acquire); }
  /// Sleeps until a raise() after `seen`, or for `microseconds` (-1: without limit). One thread.
  void sleep(std::uint32_t seen, std::int64_t microseconds = -1) noexcept;
  /// Any thread.
  void raise() noexcept;

 private:
  std::atomic<std::uint32_t> count_{0};
  std::atomic<std::uint32_t> sleeping_{0};
};

}  // namespace vgpu::executor
