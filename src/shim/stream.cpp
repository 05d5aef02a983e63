// Streams: minted here, so that making one costs no round trip.
#include "shim/stream.hpp"

#include <algorithm>

#include "shim/exports/per_thread.hpp"

namespace vgpu::shim {
namespace {

CUresult create(const Context& context, u32 flags, i32 priority, bool per_thread, u64& handle) {
  State& s = state();
  const auto minted = s.streams.mint();
  if (!minted.object) return CUDA_ERROR_OUT_OF_MEMORY;
  *minted.object = Stream{context.handle, flags, priority, s.next_stream_id.fetch_add(1), per_thread};
  const CUresult result = post<call::cuStreamCreateWithPriority>(context.index(), {minted.handle, flags, priority});
  if (result != CUDA_SUCCESS) {
    s.streams.release(minted.handle.value);
    return result;
  }
  handle = minted.handle.value;
  return CUDA_SUCCESS;
}

CUresult per_thread_stream(const Context& context, StreamHandle& resolved) {
  auto& mine = this_thread().default_streams;
  const auto found =
      std::find_if(mine.begin(), mine.end(), [&](const auto& entry) { return entry.first == context.handle; });
  if (found != mine.end()) {
    if (state().streams.find(found->second)) {
      resolved = {found->second};
      return CUDA_SUCCESS;
    }
    mine.erase(found);  // the context was reset in between
  }
  u64 handle = 0;
  const CUresult result = create(context, CU_STREAM_DEFAULT, 0, true, handle);
  if (result != CUDA_SUCCESS) return result;
  mine.emplace_back(context.handle, handle);
  resolved = {handle};
  return CUDA_SUCCESS;
}

}  // namespace

CUresult resolve_stream(const Context& context, CUstream stream, StreamHandle& resolved) {
  const u64 value = reinterpret_cast<u64>(stream);
  if (value > 2) [[likely]] {
    const Stream* found = state().streams.find(value);
    if (!found) return CUDA_ERROR_INVALID_HANDLE;
    resolved = {value};
    return CUDA_SUCCESS;
  }
  if (stream == CU_STREAM_PER_THREAD || (value == 0 && per_thread_default_stream()))
    return per_thread_stream(context, resolved);
  resolved = {0};
  return CUDA_SUCCESS;
}

u64 stream_identity(const Context& context, StreamHandle stream) noexcept {
  const Stream* known = stream_object(stream);
  // The legacy stream of each context has an id of its own, which no created stream gets.
  return known ? known->id : ~u64{0} - context.id;
}

}  // namespace vgpu::shim

using namespace vgpu::shim;

CUresult cuStreamCreateWithPriority(CUstream* out, unsigned int flags, int priority) {
  return with_context([&](Context& context) -> CUresult {
    if (!out || (flags & ~static_cast<unsigned>(CU_STREAM_NON_BLOCKING)) != 0) return CUDA_ERROR_INVALID_VALUE;
    CUresult result = CUDA_SUCCESS;
    if (priority != 0) {
      int least = 0;
      int greatest = 0;
      result = stream_priorities(context, least, greatest);
      if (result != CUDA_SUCCESS) return result;
      // Out of range means the nearest in range; the greatest priority is the lowest number.
      priority = std::clamp(priority, greatest, least);
    }
    u64 handle = 0;
    result = create(context, flags, priority, false, handle);
    if (result == CUDA_SUCCESS) *out = reinterpret_cast<CUstream>(handle);
    return result;
  });
}

CUresult cuStreamCreate(CUstream* out, unsigned int flags) { return cuStreamCreateWithPriority(out, flags, 0); }

CUresult cuStreamDestroy(CUstream stream) {
  return guarded([&]() -> CUresult {
    State& s = state();
    const u64 value = reinterpret_cast<u64>(stream);
    const Stream* found = s.streams.find(value);
    if (!found || found->per_thread) return CUDA_ERROR_INVALID_HANDLE;
    const vgpu::protocol::ContextHandle context{found->context};
    s.captures.forget_stream(value);
    const CUresult result = post<call::cuStreamDestroy>(context.index(), {{value}});
    s.streams.release(value);
    return result;
  });
}

CUresult cuStreamSynchronize(CUstream stream) {
  return with_stream(stream, [](Context& context, StreamHandle handle) {
    return ask<call::cuStreamSynchronize>(context.index(), {handle});
  });
}

CUresult cuStreamQuery(CUstream stream) {
  return with_stream(stream, [](Context& context, StreamHandle handle) {
    return ask<call::cuStreamQuery>(context.index(), {handle});
  });
}

CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned int flags) {
  return with_stream(stream, [&](Context& context, StreamHandle handle) -> CUresult {
    if ((flags & ~static_cast<unsigned>(CU_EVENT_WAIT_EXTERNAL)) != 0) return CUDA_ERROR_INVALID_VALUE;
    const u64 value = reinterpret_cast<u64>(event);
    if (!state().events.find(value)) return CUDA_ERROR_INVALID_HANDLE;
    if (Captures& captures = state().captures; captures.concern_events())
      if (const CUresult refused = captures.wait(context.index(), handle.value, value, flags != 0);
          refused != CUDA_SUCCESS)
        return refused;
    return post<call::cuStreamWaitEvent>(context.index(), {handle, {value}, flags, 0});
  });
}

CUresult cuStreamGetFlags(CUstream stream, unsigned int* flags) {
  return with_stream(stream, [&](Context&, StreamHandle handle) {
    if (!flags) return CUDA_ERROR_INVALID_VALUE;
    const Stream* known = stream_object(handle);
    *flags = known ? known->flags : 0;
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamGetPriority(CUstream stream, int* priority) {
  return with_stream(stream, [&](Context&, StreamHandle handle) {
    if (!priority) return CUDA_ERROR_INVALID_VALUE;
    const Stream* known = stream_object(handle);
    *priority = known ? known->priority : 0;
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamGetCtx(CUstream stream, CUcontext* out) {
  if (!out) return guarded([] { return CUDA_ERROR_INVALID_VALUE; });
  return cuStreamGetCtx_v2(stream, out, nullptr);
}

CUresult cuStreamGetCtx_v2(CUstream stream, CUcontext* out, CUgreenCtx* green) {
  return with_stream(stream, [&](Context& context, StreamHandle handle) {
    if (!out && !green) return CUDA_ERROR_INVALID_VALUE;
    const Stream* known = stream_object(handle);
    u64 of = known ? known->context : context.handle;
    const Context* owner = state().contexts.find(of);
    const u64 green_handle = owner ? owner->green : 0;
    // A green context's work is its device's primary context's.
    if (green_handle != 0) of = state().devices[static_cast<u32>(owner->device)]->primary;
    if (out) *out = reinterpret_cast<CUcontext>(of);
    if (green) *green = reinterpret_cast<CUgreenCtx>(green_handle);
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamGetDevice(CUstream stream, CUdevice* device) {
  return with_stream(stream, [&](Context& context, StreamHandle handle) -> CUresult {
    if (!device) return CUDA_ERROR_INVALID_VALUE;
    const Stream* known = stream_object(handle);
    const Context* owner = known ? state().contexts.find(known->context) : &context;
    if (!owner) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    *device = owner->device;
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamGetId(CUstream stream, unsigned long long* id) {
  return with_stream(stream, [&](Context& context, StreamHandle handle) {
    if (!id) return CUDA_ERROR_INVALID_VALUE;
    *id = stream_identity(context, handle);
    return CUDA_SUCCESS;
  });
}
