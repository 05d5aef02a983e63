// Events: minted here; a record costs no round trip, a query costs one.
#include <bit>

#include "shim/refuse_as.hpp"
#include "shim/stream.hpp"

using namespace vgpu::shim;
using vgpu::protocol::EventHandle;

namespace {

template <typename F>
CUresult with_event(CUevent event, F&& f) noexcept {
  return with_context([&](Context& context) -> CUresult {
    const EventHandle handle{reinterpret_cast<u64>(event)};
    return state().events.find(handle.value) ? f(context, handle) : CUDA_ERROR_INVALID_HANDLE;
  });
}

CUresult elapsed_time(float* milliseconds, CUevent start, CUevent end) {
  return with_event(start, [&](Context& context, EventHandle first) -> CUresult {
    const EventHandle second{reinterpret_cast<u64>(end)};
    const Event* known[2] = {state().events.find(first.value), state().events.find(second.value)};
    if (!known[1]) return CUDA_ERROR_INVALID_HANDLE;
    if (!milliseconds) return CUDA_ERROR_INVALID_VALUE;
    if ((known[0]->flags | known[1]->flags) & CU_EVENT_DISABLE_TIMING) return CUDA_ERROR_INVALID_HANDLE;
    call::cuEventElapsedTime::Reply reply{};
    const CUresult result = ask<call::cuEventElapsedTime>(context.index(), {first, second}, &reply);
    if (result == CUDA_SUCCESS) *milliseconds = std::bit_cast<float>(static_cast<u32>(reply.milliseconds));
    return result;
  });
}

CUresult destroy(CUevent event) {
  return guarded([&]() -> CUresult {
    const u64 value = reinterpret_cast<u64>(event);
    const Event* found = state().events.find(value);
    if (!found) return CUDA_ERROR_INVALID_HANDLE;
    const vgpu::protocol::ContextHandle context{found->context};
    const CUresult result = post<call::cuEventDestroy>(context.index(), {{value}});
    state().captures.forget_event(value);
    state().events.release(value);
    return result;
  });
}

}  // namespace

CUresult cuEventCreate(CUevent* out, unsigned int flags) {
  return with_context([&](Context& context) -> CUresult {
    constexpr unsigned kFlags = CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS;
    if (!out || (flags & ~kFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
    if (flags & CU_EVENT_INTERPROCESS)
      return flags & CU_EVENT_DISABLE_TIMING ? refuse_as("cuEventCreate", "an event for other processes")
                                             : CUDA_ERROR_INVALID_VALUE;
    const auto minted = state().events.mint();
    if (!minted.object) return CUDA_ERROR_OUT_OF_MEMORY;
    *minted.object = Event{context.handle, flags};
    const CUresult result = post<call::cuEventCreate>(context.index(), {minted.handle, flags, 0});
    if (result != CUDA_SUCCESS) {
      state().events.release(minted.handle.value);
      return result;
    }
    *out = reinterpret_cast<CUevent>(minted.handle.value);
    return CUDA_SUCCESS;
  });
}

CUresult cuEventDestroy(CUevent event) { return destroy(event); }

CUresult cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned int flags) {
  return with_event(event, [&](Context& context, EventHandle handle) -> CUresult {
    if ((flags & ~static_cast<unsigned>(CU_EVENT_RECORD_EXTERNAL)) != 0) return CUDA_ERROR_INVALID_VALUE;
    StreamHandle resolved{0};
    const CUresult result = resolve_stream(context, stream, resolved);
    if (result != CUDA_SUCCESS) return result;
    if (Captures& captures = state().captures; captures.concern_events())
      if (const CUresult refused = captures.record(context.index(), resolved.value, handle.value, flags != 0);
          refused != CUDA_SUCCESS)
        return refused;
    return post<call::cuEventRecordWithFlags>(context.index(), {handle, resolved, flags, 0});
  });
}

CUresult cuEventRecord(CUevent event, CUstream stream) { return cuEventRecordWithFlags(event, stream, 0); }

CUresult cuEventQuery(CUevent event) {
  return with_event(event, [](Context& context, EventHandle handle) -> CUresult {
    const CUresult refused = state().captures.refuse_event(handle.value);
    return refused != CUDA_SUCCESS ? refused : ask<call::cuEventQuery>(context.index(), {handle});
  });
}

CUresult cuEventSynchronize(CUevent event) {
  return with_event(event, [](Context& context, EventHandle handle) -> CUresult {
    const CUresult refused = state().captures.refuse_event(handle.value);
    return refused != CUDA_SUCCESS ? refused : ask<call::cuEventSynchronize>(context.index(), {handle});
  });
}

CUresult cuEventElapsedTime_v2(float* milliseconds, CUevent start, CUevent end) {
  return elapsed_time(milliseconds, start, end);
}

/// For calls on all of a context's work.
template <typename Call>
static CUresult with_event_of_context(CUcontext handle, CUevent event) {
  return guarded([&]() -> CUresult {
    const Context* context = find_context(handle);
    if (!context) return CUDA_ERROR_INVALID_CONTEXT;
    const u64 value = reinterpret_cast<u64>(event);
    if (!state().events.find(value)) return CUDA_ERROR_INVALID_HANDLE;
    return ask<Call>(context->index(), {{context->handle}, {value}});
  });
}

CUresult cuCtxRecordEvent(CUcontext context, CUevent event) {
  return with_event_of_context<call::cuCtxRecordEvent>(context, event);
}

CUresult cuCtxWaitEvent(CUcontext context, CUevent event) {
  return with_event_of_context<call::cuCtxWaitEvent>(context, event);
}
