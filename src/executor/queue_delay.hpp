#pragma once
#include <algorithm>
#include <chrono>

#include "executor/stats.hpp"
#include "protocol/executor_link.hpp"

namespace vgpu::executor {

/// How long records lie in the ring: from when the reader thread finds them there until the last of them has been run,
/// or handed to who waits for it. Sampled, one reading in sixteen and each loss of a lease with records left: a look at
/// the clock for every record would cost more than many of them do. One sample at a time. Reader thread.
class QueueDelay {
 public:
  using Time = std::chrono::steady_clock::time_point;

  explicit QueueDelay(protocol::SessionStats& stats) noexcept : stats_(stats) {}

  /// True: it is worth a look at the clock, and found() should be called.
  bool due() noexcept {
    if (under_way_ || --readings_left_ != 0) return false;
    readings_left_ = kReadings;
    return true;
  }
  /// Records up to the position `published` are in the ring, of which those up to `consumed` were run.
  void found(protocol::u64 published, protocol::u64 consumed, Time now) noexcept {
    if (under_way_ || published == consumed) return;
    under_way_ = true;
    last_ = published;
    since_ = now;
  }
  /// True: the sample is over, and ran() should be called.
  bool over(protocol::u64 consumed) const noexcept { return under_way_ && consumed >= last_; }
  void ran(Time now) noexcept {
    under_way_ = false;
    const auto delay = std::max(now - since_, Time::duration::zero());
    const double seconds = std::chrono::duration<double>(delay).count();
    const auto& bounds = protocol::kQueueDelayBounds;
    const auto bucket = std::lower_bound(bounds.begin(), bounds.end(), seconds) - bounds.begin();
    bump(stats_.queue_delays[static_cast<std::size_t>(bucket)]);
    bump(stats_.queue_delay_nanoseconds, static_cast<protocol::u64>(std::chrono::nanoseconds(delay).count()));
  }

 private:
  static constexpr unsigned kReadings = 16;

  protocol::SessionStats& stats_;
  unsigned readings_left_ = 1;
  bool under_way_ = false;
  protocol::u64 last_ = 0;
  Time since_{};
};

}  // namespace vgpu::executor
