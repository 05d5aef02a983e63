#include "softgpu/event.hpp"

#include "softgpu/driver.hpp"
#include "softgpu/guard.hpp"

using namespace vgpu::softgpu;

namespace vgpu::softgpu {

void Event::record(Stream& stream) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t recording = ++recordings_;
  std::uint64_t sequence = 0;
  if (timed()) {
    sequence = stream.run_short([self = shared_from_this(), recording] {
      const std::lock_guard time_lock(self->time_mutex_);
      if (recording < self->time_of_) return;
      self->time_ = monotonic_nanoseconds();
      self->time_of_ = recording;
    });
  } else if (stream.kind() != StreamKind::non_blocking || !stream.idle()) {
    sequence = stream.run_short([] {});
  }
  point_ = sequence == 0 ? stream.last() : Point{stream.shared_from_this(), sequence};
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

CUresult record(CUevent handle, CUstream stream_handle, unsigned flags) {
  return with_stream(stream_handle, [&](Context&, Stream& stream) {
    const auto event = driver().events.find(handle);
    if (event == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if ((flags & ~static_cast<unsigned>(CU_EVENT_RECORD_EXTERNAL)) != 0) return CUDA_ERROR_INVALID_VALUE;
    // External recording is a matter of stream capture.
    if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
    if (&event->context() != &stream.context()) return CUDA_ERROR_INVALID_HANDLE;
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
    if (!event.point().done()) return CUDA_ERROR_NOT_READY;
    return driver().fault();
  });
}

CUresult CUDAAPI cuEventSynchronize(CUevent handle) {
  return with_event(handle, [](Event& event) {
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
