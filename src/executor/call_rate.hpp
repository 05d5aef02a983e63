#pragma once
#include <algorithm>
#include <chrono>

#include "protocol/vm_account.hpp"

namespace vgpu::executor {

/// Slows a VM's calls down to its calls per second: a bucket of tokens for all of its sessions, kept as the moment at
/// which what was read is paid for. A VM that was quiet may read a burst of kBurst at once. Reader thread.
class CallRate {
 public:
  static constexpr std::chrono::nanoseconds kBurst = std::chrono::milliseconds(50);
  using Clock = std::chrono::steady_clock;

  explicit CallRate(protocol::VmAccount& account) noexcept : account_(account) {}

  /// Pays for one call. Zero: it may be read; else how long to wait before asking again. Without a limit one load.
  std::chrono::nanoseconds pay() noexcept {
    const protocol::u64 rate = account_.calls_per_second.load(std::memory_order_relaxed);
    return rate == 0 ? std::chrono::nanoseconds(0) : pay(rate, Clock::now().time_since_epoch());
  }
  /// The same at a given time.
  std::chrono::nanoseconds pay(protocol::u64 rate, std::chrono::nanoseconds now_time) noexcept {
    using protocol::u64;
    if (paid_ != 0) return --paid_, std::chrono::nanoseconds(0);
    const auto now = static_cast<u64>(now_time.count());
    // Several calls at a time, so that sessions don't fight over the word for each of them.
    const u64 batch = std::clamp<u64>(rate / 1000, 1, kMostBatch);
    const u64 cost = batch * 1'000'000'000 / rate;
    const auto burst = std::max(static_cast<u64>(kBurst.count()), cost);
    u64 next = account_.next_call.load(std::memory_order_relaxed);
    for (;;) {
      // A moment far ahead is none that this class wrote at this rate: the daemon has changed it, or a session damaged
      // the word.
      const u64 start = next > now + kFarthest ? now : std::max(next, now);
      if (start + cost > now + burst) return std::chrono::nanoseconds(start + cost - now - burst);
      if (account_.next_call.compare_exchange_weak(next, start + cost, std::memory_order_relaxed)) break;
    }
    paid_ = batch - 1;
    return std::chrono::nanoseconds(0);
  }

 private:
  static constexpr protocol::u64 kMostBatch = 64;
  static constexpr protocol::u64 kFarthest = 2'000'000'000;

  protocol::VmAccount& account_;
  protocol::u64 paid_ = 0;  ///< calls that are paid for and not read yet
};

}  // namespace vgpu::executor
