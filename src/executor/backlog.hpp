#pragma once
#include <algorithm>
#include <array>
#include <chrono>

#include "executor/parking.hpp"

namespace vgpu::executor {

/// Bounds the work that is submitted and not finished, so that a lease can be given back soon: a neighbour of a higher
/// priority waits for that, and cannot take it back from the GPU. Counts submissions, measures how long they take with
/// events of its own behind every few of them, and lets so many be under way as should take the bound's time, and never
/// more than the VM may have. Off where the session has the pool for itself and its VM no such limit. Reader thread.
class Backlog {
 public:
  using Clock = std::chrono::steady_clock;

  Backlog(const Driver& cuda, const Contexts& contexts, EventPool& events)
      : cuda_(cuda), contexts_(contexts), events_(events) {}

  /// `time`: 0: any; `most`: submissions under way at once, 0: any number.
  void bound(std::chrono::microseconds time, protocol::u64 most) noexcept {
    bound_ = time;
    most_ = static_cast<protocol::u32>(std::min<protocol::u64>(most, kMost));
  }
  bool on() const noexcept { return bound_.count() != 0 || most_ != 0; }

  /// Something was submitted to the stream of the current context, which takes part in no capture.
  void submitted(protocol::u32 context, CUstream stream, Clock::time_point now);
  /// True if nothing more may be submitted now; to be asked again. Asks the driver, so a context is made current.
  bool full(CurrentContext& current, Clock::time_point now);
  /// The GPU is drained.
  void clear();

  /// Submissions so far.
  protocol::u64 submissions() const noexcept { return submissions_; }
  /// Submissions under way, at most: as measured so far, and as the VM may.
  protocol::u32 window() const noexcept {
    const protocol::u32 timed = bound_.count() != 0 ? window_ : kMost;
    return most_ != 0 ? std::min(timed, most_) : timed;
  }

 private:
  static constexpr protocol::u32 kLeast = 2, kMost = 1024, kMarkers = 8;
  struct Marker {
    EventPool::Event event;
    protocol::u32 count = 0;  ///< submissions since the marker before
    Clock::time_point made;
  };

  Marker& first() noexcept { return markers_[first_ % kMarkers]; }
  void drop_first(Clock::time_point now);
  void measure(const Marker& done, Clock::time_point now) noexcept;

  const Driver& cuda_;
  const Contexts& contexts_;
  EventPool& events_;
  std::chrono::microseconds bound_{0};
  protocol::u32 most_ = 0;
  std::array<Marker, kMarkers> markers_;
  protocol::u32 first_ = 0;
  protocol::u32 used_ = 0;
  protocol::u64 submissions_ = 0;
  protocol::u32 under_way_ = 0;  ///< submissions behind which no marker is done yet
  protocol::u32 unmarked_ = 0;   ///< the last of them, behind which there is no marker
  protocol::u32 window_ = 16;
  bool waited_ = false;  ///< for the first marker
  Clock::time_point last_done_{};
  double nanoseconds_each_ = 0;
};

}  // namespace vgpu::executor
