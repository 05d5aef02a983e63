#pragma once
#include <atomic>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "softgpu/driver_api.hpp"
#include "softgpu/stream.hpp"

namespace vgpu::softgpu {

struct CapturedPoint;

/// A CUDA event: the last point where it was recorded, and when that was reached. Thread-safe.
class Event : public std::enable_shared_from_this<Event> {
 public:
  Event(Context& context, unsigned flags) : context_(context), flags_(flags) {}

  Context& context() const noexcept { return context_; }
  bool timed() const noexcept { return (flags_ & CU_EVENT_DISABLE_TIMING) == 0; }

  /// Records the event behind all that was submitted to the stream.
  void record(Stream& stream);
  /// Records the event behind the next piece of work of a stream that counts only: see Stream::promise.
  void expect(Stream& counter);
  /// The oldest such recording is reached.
  void reach(Stream& counter);
  /// In a capture: where; null if the last recording was not in one.
  std::shared_ptr<const CapturedPoint> captured();
  void set_captured(std::shared_ptr<const CapturedPoint> point);
  /// Where it was recorded last; an empty point if never.
  Point point();
  bool recorded();
  /// When the last recording was reached, in nanoseconds of the monotonic clock; 0 if it was not yet.
  std::uint64_t time();

 private:
  void stamp(std::uint64_t recording);

  Context& context_;
  const unsigned flags_;
  std::mutex mutex_;
  Point point_;
  std::shared_ptr<const CapturedPoint> captured_;
  std::uint64_t recordings_ = 0;
  std::vector<std::pair<Point, std::uint64_t>> promised_;  // recordings by graphs that have not come
  std::mutex time_mutex_;  // its own: the stream's thread must not wait for one that submits
  std::uint64_t time_ = 0;
  std::uint64_t time_of_ = 0;  // the recording that time_ belongs to
};

}  // namespace vgpu::softgpu
