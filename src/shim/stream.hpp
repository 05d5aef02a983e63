#pragma once
#include "shim/context.hpp"

namespace vgpu::shim {

using protocol::StreamHandle;

/// What a program's CUstream means on this thread: NULL is the legacy stream, or the thread's own under a
/// PerThreadDefaultStream guard; 1 and 2 are CUDA's names for these two. CUDA_ERROR_INVALID_HANDLE for no stream.
CUresult resolve_stream(const Context& context, CUstream stream, StreamHandle& resolved);

/// The stream of calls that take none: the legacy one, or the thread's own.
inline CUresult default_stream(const Context& context, StreamHandle& resolved) {
  return resolve_stream(context, nullptr, resolved);
}

/// What the guest knows of a resolved stream; null for the legacy one.
inline const Stream* stream_object(StreamHandle stream) noexcept {
  return stream.value == 0 ? nullptr : state().streams.find(stream.value);
}

/// What cuStreamGetId says of a resolved stream: unique in the process.
u64 stream_identity(const Context& context, StreamHandle stream) noexcept;

/// Runs f(context, stream) with the current context and the resolved stream.
template <typename F>
CUresult with_stream(CUstream stream, F&& f) noexcept {
  return with_context([&](Context& context) -> CUresult {
    StreamHandle resolved{0};
    const CUresult result = resolve_stream(context, stream, resolved);
    return result == CUDA_SUCCESS ? f(context, resolved) : result;
  });
}

}  // namespace vgpu::shim
