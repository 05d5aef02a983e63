#include <algorithm>

#include "softgpu/capture.hpp"
#include "softgpu/event.hpp"
#include "softgpu/guard.hpp"
#include "softgpu/stream_calls.hpp"

using namespace vgpu::softgpu;

namespace vgpu::softgpu {

namespace {

CUresult finish(Context& context) {
  context.join_ended();
  context.device().default_pool->trim_to_threshold();
  return driver().fault();
}

}  // namespace

CUresult stream_query(CUstream handle) {
  return with_stream(handle, [](Context&, Stream& stream) {
    if (const CUresult error = refuse_captured(stream); error != CUDA_SUCCESS) return error;
    if (const CUresult error = unsafe_in_capture(); error != CUDA_SUCCESS) return error;
    for (const Point& point : stream.context().pending(stream)) {
      if (!point.done()) return CUDA_ERROR_NOT_READY;
    }
    return driver().fault();
  });
}

CUresult stream_synchronize(CUstream handle) {
  return with_stream(handle, [](Context&, Stream& stream) {
    if (const CUresult error = refuse_captured(stream); error != CUDA_SUCCESS) return error;
    if (const CUresult error = unsafe_in_capture(); error != CUDA_SUCCESS) return error;
    Context& context = stream.context();
    if (stream.kind() == StreamKind::legacy) {
      for (const Point& point : context.pending(stream)) point.wait();
    } else {
      stream.wait(stream.last().sequence);
    }
    return finish(context);
  });
}

CUresult stream_wait_event(CUstream handle, CUevent event_handle, unsigned flags) {
  return with_stream(handle, [&](Context&, Stream& stream) {
    const auto event = driver().events.find(event_handle);
    if (event == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if ((flags & ~static_cast<unsigned>(CU_EVENT_WAIT_EXTERNAL)) != 0) return CUDA_ERROR_INVALID_VALUE;
    if (const auto result = capture_wait(stream, event_handle, event, flags != 0)) return *result;
    if (flags != CU_EVENT_WAIT_DEFAULT) return CUDA_ERROR_INVALID_VALUE;  // a matter of stream capture
    Point point = event->point();
    // What runs in one stream is in order anyway.
    if (!point.done() && point.stream.get() != &stream) stream.submit([] {}, std::move(point));
    return CUDA_SUCCESS;
  });
}

CUresult launch_host_function(CUstream handle, CUhostFn function, void* data) {
  return with_stream(handle, [&](Context&, Stream& stream) {
    if (function == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const HostCall call{function, data};
    if (const auto result = captured(stream, [&] { return share(HostNode{call}); })) return *result;
    stream.submit(call);
    return CUDA_SUCCESS;
  });
}

CUresult stream_add_callback(CUstream handle, CUstreamCallback callback, void* data, unsigned flags) {
  return with_stream(handle, [&](Context&, Stream& stream) {
    if (callback == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    // A callback is not a node: it is called with the stream's state.
    if (const CUresult error = refuse_captured(stream); error != CUDA_SUCCESS) return error;
    stream.submit([handle, callback, data] {
      in_host_function() = true;
      callback(handle, driver().fault(), data);  // called after an error too, with its code
      in_host_function() = false;
    });
    return CUDA_SUCCESS;
  });
}

CUresult stream_get_priority(CUstream handle, int* priority) {
  return with_stream(handle, [&](Context&, Stream& stream) {
    if (priority == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *priority = stream.priority();
    return CUDA_SUCCESS;
  });
}

CUresult stream_get_flags(CUstream handle, unsigned* flags) {
  return with_stream(handle, [&](Context&, Stream& stream) {
    if (flags == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *flags = stream.kind() == StreamKind::non_blocking ? CU_STREAM_NON_BLOCKING : CU_STREAM_DEFAULT;
    return CUDA_SUCCESS;
  });
}

CUresult stream_get_id(CUstream handle, unsigned long long* id) {
  return with_stream(handle, [&](Context&, Stream& stream) {
    if (id == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *id = stream.id();
    return CUDA_SUCCESS;
  });
}

CUresult stream_get_device(CUstream handle, CUdevice* device) {
  return with_stream(handle, [&](Context&, Stream& stream) {
    if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *device = stream.context().device().ordinal;
    return CUDA_SUCCESS;
  });
}

CUresult stream_get_context(CUstream handle, CUcontext* context) {
  return with_stream(handle, [&](Context&, Stream& stream) {
    if (context == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *context = stream.context().handle;
    return CUDA_SUCCESS;
  });
}

}  // namespace vgpu::softgpu

namespace {

CUresult create(CUstream* handle, unsigned flags, int priority) {
  return with_context([&](Context& context) {
    if (handle == nullptr || (flags & ~static_cast<unsigned>(CU_STREAM_NON_BLOCKING)) != 0)
      return CUDA_ERROR_INVALID_VALUE;
    int least = 0;
    int greatest = 0;
    cuCtxGetStreamPriorityRange(&least, &greatest);
    const auto kind = flags == CU_STREAM_NON_BLOCKING ? StreamKind::non_blocking : StreamKind::blocking;
    *handle = driver().streams.insert(context.create_stream(kind, std::clamp(priority, greatest, least)));
    return CUDA_SUCCESS;
  });
}

}  // namespace

CUresult CUDAAPI cuStreamCreate(CUstream* stream, unsigned int flags) { return create(stream, flags, 0); }

CUresult CUDAAPI cuStreamCreateWithPriority(CUstream* stream, unsigned int flags, int priority) {
  return create(stream, flags, priority);
}

CUresult CUDAAPI cuStreamDestroy(CUstream handle) {
  return with_context([&](Context&) {
    // The default streams can't be destroyed, and have no entry in the table.
    const auto stream = driver().streams.remove(handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    forget_captures_of(*stream);
    stream->context().retire(stream);
    return CUDA_SUCCESS;
  });
}
