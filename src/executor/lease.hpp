#pragma once
#include <algorithm>
#include <chrono>

#include "protocol/types.hpp"

namespace vgpu::executor {

/// The lease that the reader thread holds, or not: when it ends, and how much of the GPU's time it used. Knows no
/// clock.
class Lease {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::steady_clock::duration;

  bool held() const noexcept { return held_; }
  /// Held, and to be given back: nothing more may be submitted.
  bool ending() const noexcept { return ending_; }
  /// It ends because somebody asked for it, not because its quantum is over.
  bool yielded() const noexcept { return yielded_; }
  Time ending_since() const noexcept { return ending_since_; }
  /// It should be over for so long that the GPU may be waiting for what the session was not let submit.
  bool overdue(Time now) const noexcept { return ending_ && now - ending_since_ >= patience_; }
  /// Something more was submitted because it was overdue. Each time it takes three times as long until it is again: who
  /// has long kernels only, and waits for nothing, is drained soon all the same.
  void be_more_patient() noexcept { patience_ *= 3; }
  /// The order that it was given by.
  protocol::u64 order() const noexcept { return order_; }

  /// Begins a lease, or gives other terms to the one that is held. 0: no quantum.
  void run(protocol::u64 order, Duration quantum, Time now) noexcept {
    order_ = order;
    if (!held_) {
      *this = Lease();
      held_ = true;
      order_ = order;
      start_ = counted_from_ = now;
    }
    if (quantum == Duration::zero() || end_ != Time::max()) return;
    count_from(now - quantum);
    end_ = counted_from_ + quantum;
  }
  /// Gives back what `order` gave, if that is held.
  void yield(protocol::u64 order, Duration quantum, Time now) noexcept {
    if (!held_ || order < order_) return;
    if (end_ == Time::max()) count_from(now - quantum);
    yielded_ = true;
    end_ = std::min(end_, now);
    check(now);
  }
  /// Lets the lease end when its time has come.
  void check(Time now) noexcept {
    if (!held_ || ending_ || now < end_) return;
    ending_ = true;
    ending_since_ = now;
  }
  /// False: nothing but a command of the daemon will end it.
  bool limited() const noexcept { return end_ != Time::max(); }

  /// From now on there is nothing to read and nothing that is waited for.
  void note_empty(Time now) noexcept {
    if (empty_) return;
    empty_ = true;
    empty_since_ = now;
  }
  bool empty() const noexcept { return empty_; }
  /// There is something to read again. Whether the GPU was idle meanwhile nobody knows: it may be at work on what a
  /// program that only asks about it has submitted before. So it counts.
  void note_work() noexcept { empty_ = false; }
  /// The GPU had nothing to do since note_empty().
  void note_idle_until(Time now) noexcept {
    if (!empty_) return;
    idle_ += now - empty_since_;
    counted_idle_ += now - std::max(empty_since_, counted_from_);
    empty_ = false;
  }
  Time empty_since() const noexcept { return empty_since_; }

  /// GPU time that the lease has used so far.
  Duration busy(Time now) const noexcept {
    if (!held_) return Duration::zero();
    return std::max((empty_ ? empty_since_ : now) - start_ - idle_, Duration::zero());
  }

  struct Use {
    Duration busy{};     ///< GPU time
    Duration counted{};  ///< the part of it that counts against the session's share
  };
  Use end(Time now) noexcept {
    held_ = ending_ = empty_ = false;
    end_ = Time::max();
    return {std::max(now - start_ - idle_, Duration::zero()),
            std::max(now - counted_from_ - counted_idle_, Duration::zero())};
  }

 private:
  void count_from(Time earliest) noexcept {
    if (earliest <= counted_from_) return;
    counted_from_ = earliest;
    counted_idle_ = Duration::zero();
  }

  bool held_ = false;
  bool ending_ = false;
  bool yielded_ = false;
  bool empty_ = false;
  protocol::u64 order_ = 0;
  Time start_{};
  Time counted_from_{};
  Time end_ = Time::max();
  Time ending_since_{};
  Time empty_since_{};
  Duration idle_{};
  Duration counted_idle_{};
  Duration patience_ = std::chrono::milliseconds(100);
};

}  // namespace vgpu::executor
