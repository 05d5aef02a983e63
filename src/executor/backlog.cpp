#include "executor/backlog.hpp"

#include <algorithm>
#include <utility>

namespace vgpu::executor {

using namespace std::chrono_literals;
using protocol::u32;

namespace {
/// Work may wait for what the guest does next: a kernel that polls memory, a function that the guest runs. Nobody can
/// know; if nothing ends for so long, a submission is let through every now and then.
constexpr auto kPatience = 100ms;
constexpr auto kTrickle = 10ms;
}  // namespace

void Backlog::submitted(u32 context, CUstream stream, Clock::time_point now) {
  ++submissions_;
  ++under_way_;
  ++unmarked_;
  // Several markers to a window, so that it moves on in steps and not as a whole.
  if (unmarked_ < std::max(window() / (kMarkers / 2), 1u) || used_ == kMarkers) return;
  Marker marker{{}, unmarked_, now};
  if (events_.take(context, marker.event) != CUDA_SUCCESS) return;
  if (cuda_.cuEventRecord(marker.event.native, stream) != CUDA_SUCCESS) {
    events_.give(marker.event);
    return;
  }
  markers_[(first_ + used_) % kMarkers] = marker;
  ++used_;
  unmarked_ = 0;
}

bool Backlog::full(CurrentContext& current, Clock::time_point now) {
  if (!on()) {
    if (used_ != 0) clear();
    return false;
  }
  while (under_way_ >= window() && used_ != 0) {
    const EventPool::Event& event = first().event;
    CUresult result = CUDA_ERROR_CONTEXT_IS_DESTROYED;
    if (contexts_.serial(event.context) == event.serial && current.set(event.context) == CUDA_SUCCESS)
      result = cuda_.cuEventQuery(event.native);
    if (result == CUDA_ERROR_NOT_READY) {
      if (!waited_) last_done_ = std::max(last_done_, first().made);
      waited_ = true;
      if (now - last_done_ < kPatience) return true;
      last_done_ += kTrickle;
      return false;
    }
    drop_first(now);
  }
  // Without a marker nobody would say when this ends: the driver had no event for one.
  if (used_ == 0) under_way_ = std::min(under_way_, window() - 1);
  return false;
}

void Backlog::drop_first(Clock::time_point now) {
  const Marker done = first();
  events_.give(done.event);
  ++first_;
  --used_;
  under_way_ -= std::min(under_way_, done.count);
  measure(done, now);
}

void Backlog::measure(const Marker& done, Clock::time_point now) noexcept {
  const bool waited = std::exchange(waited_, false);
  const Clock::time_point begun = std::max(last_done_, done.made);
  last_done_ = now;
  if (!waited) {
    // It was done when we looked: the GPU is no slower than we are.
    window_ = std::min(window_ + std::max(window_ / 4, 1u), kMost);
    return;
  }
  const double each = static_cast<double>(std::chrono::nanoseconds(now - begun).count()) / done.count;
  nanoseconds_each_ = nanoseconds_each_ == 0 ? each : 0.75 * nanoseconds_each_ + 0.25 * each;
  const double fits = static_cast<double>(std::chrono::nanoseconds(bound_).count()) / std::max(nanoseconds_each_, 1.0);
  window_ = static_cast<u32>(std::clamp(fits, double{kLeast}, double{kMost}));
}

void Backlog::clear() {
  while (used_ != 0) {
    events_.give(first().event);
    ++first_;
    --used_;
  }
  under_way_ = unmarked_ = 0;
  waited_ = false;
}

}  // namespace vgpu::executor
