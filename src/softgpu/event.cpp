#include "softgpu/event.hpp"

#include <algorithm>

#include "softgpu/capture.hpp"
#include "softgpu/driver.hpp"
#include "softgpu/guard.hpp"

using namespace vgpu::softgpu;

namespace vgpu::softgpu {

void Event::record(Stream& stream) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t recording = ++recordings_;
  captured_ = nullptr;
  std::uint64_t sequence = 0;
  if (timed()) {
    sequence = stream.run_short([self = shared_from_this(), recording] { self->stamp(recording); });
  } else if (stream.kind() != StreamKind::non_blocking || !stream.idle()) {
    sequence = stream.run_short([] {});
  }
  point_ = sequence == 0 ? stream.last() : Point{stream.shared_from_this(), sequence};
}

void Event::expect(Stream& counter) {
  const std::lock_guard lock(mutex_);
  captured_ = nullptr;
  point_ = counter.promise();
  promised_.emplace_back(point_, ++recordings_);
}

void Event::reach(Stream& counter) {
  const std::uint64_t sequence = counter.completed() + 1;
  std::uint64_t recording = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(promised_.begin(), promised_.end(), [&](const auto& it) {
      return it.first.stream.get() == &counter && it.first.sequence == sequence;
    });
    if (found != promised_.end()) {
      recording = found->second;
      promised_.erase(found);
    }
  }
  if (recording != 0) stamp(recording);
  counter.keep(sequence);
}

void Event::stamp(std::uint64_t recording) {
  const std::lock_guard lock(time_mutex_);
  if (recording < time_of_) return;
  time_ = monotonic_nanoseconds();
  time_of_ = recording;
}

std::shared_ptr<const CapturedPoint> Event::captured() {
  const std::lock_guard lock(mutex_);
  return captured_;
}

void Event::set_captured(std::shared_ptr<const CapturedPoint> point) {
  const std::lock_guard lock(mutex_);
  captured_ = std::move(point);
}

Point Event::point() {
  const std::lock_guard lock(mutex_);
  return point_;
}

bool Event::recorded() {
  const std::lock_guard lock(mutex_);
  return recordings_ != 0;
}

std::uint64_t Event::time() {
  const std::lock_guard lock(mutex_);
  const std::lock_guard time_lock(time_mutex_);
  return time_of_ == recordings_ ? time_ : 0;
}

}  // namespace vgpu::softgpu

namespace {

constexpr unsigned kEventFlags = CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS;

template <class Function>
CUresult with_event(CUevent handle, Function&& function) {
  return with_context([&](Context&) {
    const auto event = driver().events.find(handle);
    if (event == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    return static_cast<CUresult>(function(*event));
  });
}

/// An event of a capture has no point in time, and asking for another one may be unsafe beside a capture.
CUresult refuse_captured_event(Event& event) {
  if (const auto point = event.captured(); point != nullptr) {
    const std::lock_guard lock(graphs_mutex());
    invalidate(*point->capture);
    return CUDA_ERROR_CAPTURED_EVENT;
  }
  return unsafe_in_capture();
}

CUresult record(CUevent handle, CUstream stream_handle, unsigned flags) {
  return with_stream(stream_handle, [&](Context&, Stream& stream) {
    const auto event = driver().events.find(handle);
    if (event == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if ((flags & ~static_cast<unsigned>(CU_EVENT_RECORD_EXTERNAL)) != 0) return CUDA_ERROR_INVALID_VALUE;
    if (&event->context() != &stream.context()) return CUDA_ERROR_INVALID_HANDLE;
    if (const auto result = capture_record(stream, handle, event, flags != 0)) return *result;
    // External recording is a matter of stream capture.
    if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
    event->record(stream);
    return CUDA_SUCCESS;
  });
}

}  // namespace

CUresult CUDAAPI cuEventCreate(CUevent* event, unsigned int flags) {
  return with_context([&](Context& context) {
    if (event == nullptr || (flags & ~kEventFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
    if ((flags & CU_EVENT_INTERPROCESS) != 0) {
      return (flags & CU_EVENT_DISABLE_TIMING) == 0 ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_NOT_SUPPORTED;
    }
    *event = driver().events.insert(std::make_shared<Event>(context, flags));
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuEventDestroy(CUevent event) {
  return with_context(
      [&](Context&) { return driver().events.remove(event) == nullptr ? CUDA_ERROR_INVALID_HANDLE : CUDA_SUCCESS; });
}

#undef cuEventRecord
#undef cuEventRecordWithFlags
VGPU_CUDA_EXPORT CUresult CUDAAPI cuEventRecord(CUevent event, CUstream stream) { return record(event, stream, 0); }
VGPU_CUDA_EXPORT CUresult CUDAAPI cuEventRecord_ptsz(CUevent event, CUstream stream) {
  return record(event, per_thread(stream), 0);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned int flags) {
  return record(event, stream, flags);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuEventRecordWithFlags_ptsz(CUevent event, CUstream stream, unsigned int flags) {
  return record(event, per_thread(stream), flags);
}

CUresult CUDAAPI cuEventQuery(CUevent handle) {
  return with_event(handle, [](Event& event) {
    if (const CUresult error = refuse_captured_event(event); error != CUDA_SUCCESS) return error;
    if (!event.point().done()) return CUDA_ERROR_NOT_READY;
    return driver().fault();
  });
}

CUresult CUDAAPI cuEventSynchronize(CUevent handle) {
  return with_event(handle, [](Event& event) {
    if (const CUresult error = refuse_captured_event(event); error != CUDA_SUCCESS) return error;
    event.point().wait();
    event.context().device().default_pool->trim_to_threshold();
    return driver().fault();
  });
}

VGPU_CUDA_EXPORT CUresult CUDAAPI cuEventElapsedTime_v2(float* milliseconds, CUevent start, CUevent end) {
  return with_context([&](Context&) {
    if (milliseconds == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const auto first = driver().events.find(start);
    const auto second = driver().events.find(end);
    if (first == nullptr || second == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (!first->timed() || !second->timed()) return CUDA_ERROR_INVALID_HANDLE;
    // Times of two devices can't be compared (CUDA C++ Programming Guide, "Stream and Event Behavior").
    if (&first->context().device() != &second->context().device()) return CUDA_ERROR_INVALID_HANDLE;
    if (first->captured() != nullptr || second->captured() != nullptr) return CUDA_ERROR_CAPTURED_EVENT;
    if (!first->recorded() || !second->recorded()) return CUDA_ERROR_INVALID_HANDLE;
    if (!first->point().done() || !second->point().done()) return CUDA_ERROR_NOT_READY;
    const auto from = static_cast<std::int64_t>(first->time());
    const auto to = static_cast<std::int64_t>(second->time());
    if (from == 0 || to == 0) return CUDA_ERROR_NOT_READY;  // recorded again in between
    *milliseconds = static_cast<float>(static_cast<double>(to - from) / 1e6);
    return CUDA_SUCCESS;
  });
}

#undef cuEventElapsedTime
VGPU_CUDA_EXPORT CUresult CUDAAPI cuEventElapsedTime(float* milliseconds, CUevent start, CUevent end) {
  return cuEventElapsedTime_v2(milliseconds, start, end);
}
