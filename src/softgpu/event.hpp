#pragma once
#include <atomic>
#include <cstdint>
#include <mutex>

#include "softgpu/driver_api.hpp"
#include "softgpu/stream.hpp"

namespace vgpu::softgpu {

/// A CUDA event: the last point where it was recorded, and when that was reached. Thread-safe.
class Event : public std::enable_shared_from_this<Event> {
 public:
  Event(Context& context, unsigned flags) : context_(context), flags_(flags) {}

  Context& context() const noexcept { return context_; }
  bool timed() const noexcept { return (flags_ & CU_EVENT_DISABLE_TIMING) == 0; }

  /// Records the event behind all that was submitted to the stream.
  void record(Stream& stream);
  /// Where it was recorded last; an empty point if never.
  Point point();
  bool recorded();
  /// When the last recording was reached, in nanoseconds of the monotonic clock; 0 if it was not yet.
  std::uint64_t time();

 private:
  Context& context_;
  const unsigned flags_;
  std::mutex mutex_;
  Point point_;
  std::uint64_t recordings_ = 0;
  std::mutex time_mutex_;  // its own: the stream's thread must not wait for one that submits
  std::uint64_t time_ = 0;
  std::uint64_t time_of_ = 0;  // the recording that time_ belongs to
};

}  // namespace vgpu::softgpu
