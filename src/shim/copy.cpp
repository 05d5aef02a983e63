#include "shim/copy.hpp"

#include "shim/beside.hpp"
#include "shim/captured_copy.hpp"
#include "shim/streaming_copy.hpp"

namespace vgpu::shim {
namespace {

/// A call that waits in the calling thread's slot although its mode needs no answer.
template <typename Call>
CUresult run(const Context& context, const typename Call::Request& request) {
  ThreadSlot slot;
  State& s = state();
  if (!slot.taken()) return s.channel->health();
  u32 ticket = 0;
  const CUresult result = s.channel->begin<Call>(slot.index(), ticket, context.index(), request, 0, no_tail);
  return result == CUDA_SUCCESS ? finish(slot.index(), ticket) : result;
}

CUresult pinned_to_device(const Context& context, StreamHandle stream, u64 destination, const void* source, u64 bytes,
                          When when) {
  const call::cuMemcpyHtoDAsync::Request request{Pointer{destination}, stream, state().host_memory.offset(source),
                                                 bytes};
  if (when == When::ordered) return post<call::cuMemcpyHtoDAsync>(context.index(), request);
  return run<call::cuMemcpyHtoDAsync>(context, request);
}

/// Passes the pieces of a copy through the staging area by pass(first, end): of a large one half of them on another
/// thread, since one core moves less than the memory could. The first error of the two.
template <typename Pass>
CUresult by_two(u64 bytes, Pass pass) {
  const u64 pieces = (bytes + Staging::kChunkBytes - 1) / Staging::kChunkBytes;
  if (bytes < kStreamingBytes) return pass(0, pieces);
  CUresult second = CUDA_SUCCESS;
  auto rest = [&]() noexcept { second = pass(pieces / 2, pieces); };
  Beside beside(rest);
  const CUresult first = pass(0, pieces / 2);
  beside.wait();
  return first != CUDA_SUCCESS ? first : second;
}

CUresult chunk_to_device(const Context& context, StreamHandle stream, u64 destination, const std::byte* source,
                         u64 bytes, u64 piece, u32 chunk, u32& ticket) {
  State& s = state();
  const u64 at = piece * Staging::kChunkBytes;
  const u64 length = std::min(Staging::kChunkBytes, bytes - at);
  std::memcpy(s.staging.memory(chunk), source + at, length);
  const u16 flags = at + length < bytes ? VGPU_RECORD_MORE : 0;
  return s.channel->begin<call::cuMemcpyHtoDAsync>(Staging::slot(chunk), ticket, context.index(),
                                                   {Pointer{destination + at}, stream, Staging::offset(chunk), length},
                                                   0, no_tail, flags);
}

CUresult pageable_to_device(const Context& context, StreamHandle stream, u64 destination, const std::byte* source,
                            u64 bytes, When when) {
  State& s = state();
  if (bytes <= protocol::kMaxInlineCopyBytes) {
    const auto tail = bytes_of(source, bytes);
    if (when == When::ordered)
      return post<call::cuMemcpyHtoDAsync>(context.index(), {Pointer{destination}, stream, protocol::kInline, bytes},
                                           tail);
    return ask<call::cuMemcpyHtoD>(context.index(), {Pointer{destination}, stream, protocol::kInline, bytes}, nullptr,
                                   tail);
  }
  const auto start = [&](u64 piece, u32 chunk, u32& ticket) {
    return chunk_to_device(context, stream, destination, source, bytes, piece, chunk, ticket);
  };
  if (when == When::done)
    return by_two(bytes, [&](u64 begin, u64 end) { return staged(begin, end, start, [](u64, u32) {}); });
  // The source is free once it is in the staging area; the chunks come back by themselves.
  return by_two(bytes, [&](u64 begin, u64 end) {
    for (u64 piece = begin; piece < end; ++piece) {
      const u32 chunk = s.staging.take();
      if (chunk == Staging::kNone) return s.channel->health();
      u32 ticket = 0;
      const CUresult result = start(piece, chunk, ticket);
      if (result != CUDA_SUCCESS) {
        s.staging.give(chunk);
        return result;
      }
      s.staging.give_when_answered(chunk, ticket);
    }
    return CUDA_SUCCESS;
  });
}

CUresult pageable_from_device(const Context& context, StreamHandle stream, std::byte* destination, u64 source,
                              u64 bytes) {
  State& s = state();
  const auto start = [&](u64 piece, u32 chunk, u32& ticket) {
    const u64 at = piece * Staging::kChunkBytes;
    const u64 length = std::min(Staging::kChunkBytes, bytes - at);
    const u16 flags = at + length < bytes ? VGPU_RECORD_MORE : 0;
    return s.channel->begin<call::cuMemcpyDtoH>(Staging::slot(chunk), ticket, context.index(),
                                                {Pointer{source + at}, stream, Staging::offset(chunk), length}, 0,
                                                no_tail, flags);
  };
  const auto done = [&](u64 piece, u32 chunk) {
    const u64 at = piece * Staging::kChunkBytes;
    const u64 length = std::min(Staging::kChunkBytes, bytes - at);
    if (bytes >= kStreamingBytes)
      streaming_copy(destination + at, s.staging.memory(chunk), length);
    else
      std::memcpy(destination + at, s.staging.memory(chunk), length);
  };
  return by_two(bytes, [&](u64 begin, u64 end) { return staged(begin, end, start, done); });
}

/// What a capture makes of a copy: `captured`, or the error of one that has no place there.
CUresult look_for_capture(const Context& context, StreamHandle stream, When when, bool& captured) {
  captured = false;
  return when == When::done ? refuse_synchronous(context, stream) : captures_stream(context, stream, captured);
}

}  // namespace

CUresult finish(u32 slot, u32 ticket) {
  State& s = state();
  const CUresult result = s.channel->await(slot, ticket);
  take_kernel_text();
  if (result != CUDA_SUCCESS) return result;
  s.staging.reclaim();
  return s.channel->take_error();
}

Where where(const void* address, u64 bytes) {
  State& s = state();
  if (s.host_memory.contains(address, bytes)) return Where::pinned;
  return s.allocations.find(reinterpret_cast<u64>(address)) ? Where::device : Where::pageable;
}

CUresult copy_to_device(const Context& context, StreamHandle stream, u64 destination, const void* source, u64 bytes,
                        When when) {
  if (bytes == 0) return CUDA_SUCCESS;
  if (destination == 0 || !source) return CUDA_ERROR_INVALID_VALUE;
  bool captured = false;
  if (any_capture()) [[unlikely]]
    if (const CUresult result = look_for_capture(context, stream, when, captured); result != CUDA_SUCCESS)
      return result;
  switch (where(source, bytes)) {
    case Where::pinned:
      return pinned_to_device(context, stream, destination, source, bytes, when);
    case Where::device:
      return copy_on_device(context, stream, destination, reinterpret_cast<u64>(source), bytes, when);
    case Where::pageable:
      break;
  }
  if (captured) return capture_to_device(context, stream, destination, static_cast<const std::byte*>(source), bytes);
  return pageable_to_device(context, stream, destination, static_cast<const std::byte*>(source), bytes, when);
}

CUresult copy_from_device(const Context& context, StreamHandle stream, void* destination, u64 source, u64 bytes,
                          When when) {
  if (bytes == 0) return CUDA_SUCCESS;
  if (source == 0 || !destination) return CUDA_ERROR_INVALID_VALUE;
  bool captured = false;
  if (any_capture()) [[unlikely]]
    if (const CUresult result = look_for_capture(context, stream, when, captured); result != CUDA_SUCCESS)
      return result;
  switch (where(destination, bytes)) {
    case Where::pinned: {
      const Offset offset = state().host_memory.offset(destination);
      if (when == When::ordered)
        return post<call::cuMemcpyDtoHAsync>(context.index(), {Pointer{source}, stream, offset, bytes});
      return ask<call::cuMemcpyDtoH>(context.index(), {Pointer{source}, stream, offset, bytes});
    }
    case Where::device:
      return copy_on_device(context, stream, reinterpret_cast<u64>(destination), source, bytes, when);
    case Where::pageable:
      break;
  }
  if (captured) return capture_from_device(context, stream, static_cast<std::byte*>(destination), source, bytes);
  // To pageable memory the driver, too, returns only when the copy is done.
  return pageable_from_device(context, stream, static_cast<std::byte*>(destination), source, bytes);
}

CUresult copy_on_device(const Context& context, StreamHandle stream, u64 destination, u64 source, u64 bytes,
                        When when) {
  if (bytes == 0) return CUDA_SUCCESS;
  if (destination == 0 || source == 0) return CUDA_ERROR_INVALID_VALUE;
  if (when == When::done)
    if (const CUresult result = refuse_synchronous(context, stream); result != CUDA_SUCCESS) return result;
  if (when == When::ordered)
    return post<call::cuMemcpyDtoDAsync>(context.index(), {Pointer{destination}, Pointer{source}, stream, bytes});
  return ask<call::cuMemcpyDtoD>(context.index(), {Pointer{destination}, Pointer{source}, stream, bytes});
}

CUresult copy(const Context& context, StreamHandle stream, u64 destination, u64 source, u64 bytes, When when) {
  if (bytes == 0) return CUDA_SUCCESS;
  if (destination == 0 || source == 0) return CUDA_ERROR_INVALID_VALUE;
  const bool to_device = where(destination, bytes) == Where::device;
  const bool from_device = where(source, bytes) == Where::device;
  if (to_device && from_device) return copy_on_device(context, stream, destination, source, bytes, when);
  if (to_device)
    return copy_to_device(context, stream, destination, reinterpret_cast<const void*>(source), bytes, when);
  if (from_device) return copy_from_device(context, stream, reinterpret_cast<void*>(destination), source, bytes, when);
  if (any_capture()) {
    bool captured = false;
    const CUresult refused = look_for_capture(context, stream, when, captured);
    if (refused != CUDA_SUCCESS) return refused;
    if (captured)
      return add_host_node(context, stream, [=] {
        std::memmove(reinterpret_cast<void*>(destination), reinterpret_cast<const void*>(source), bytes);
      });
  }
  // Between host addresses only the order with the stream's work matters.
  const CUresult result = ask<call::cuStreamSynchronize>(context.index(), {stream});
  if (result == CUDA_SUCCESS)
    std::memmove(reinterpret_cast<void*>(destination), reinterpret_cast<const void*>(source), bytes);
  return result;
}

}  // namespace vgpu::shim

using namespace vgpu::shim;

CUresult cuMemcpyHtoD(CUdeviceptr destination, const void* source, size_t bytes) {
  return with_stream(nullptr, [&](Context& context, StreamHandle stream) {
    return copy_to_device(context, stream, destination, source, bytes, When::done);
  });
}

CUresult cuMemcpyHtoDAsync(CUdeviceptr destination, const void* source, size_t bytes, CUstream stream) {
  return with_stream(stream, [&](Context& context, StreamHandle handle) {
    return copy_to_device(context, handle, destination, source, bytes, When::ordered);
  });
}

CUresult cuMemcpyDtoH(void* destination, CUdeviceptr source, size_t bytes) {
  return with_stream(nullptr, [&](Context& context, StreamHandle stream) {
    return copy_from_device(context, stream, destination, source, bytes, When::done);
  });
}

CUresult cuMemcpyDtoHAsync(void* destination, CUdeviceptr source, size_t bytes, CUstream stream) {
  return with_stream(stream, [&](Context& context, StreamHandle handle) {
    return copy_from_device(context, handle, destination, source, bytes, When::ordered);
  });
}

CUresult cuMemcpyDtoD(CUdeviceptr destination, CUdeviceptr source, size_t bytes) {
  return with_stream(nullptr, [&](Context& context, StreamHandle stream) {
    return copy_on_device(context, stream, destination, source, bytes, When::done);
  });
}

CUresult cuMemcpyDtoDAsync(CUdeviceptr destination, CUdeviceptr source, size_t bytes, CUstream stream) {
  return with_stream(stream, [&](Context& context, StreamHandle handle) {
    return copy_on_device(context, handle, destination, source, bytes, When::ordered);
  });
}

CUresult cuMemcpy(CUdeviceptr destination, CUdeviceptr source, size_t bytes) {
  return with_stream(nullptr, [&](Context& context, StreamHandle stream) {
    return copy(context, stream, destination, source, bytes, When::done);
  });
}

CUresult cuMemcpyAsync(CUdeviceptr destination, CUdeviceptr source, size_t bytes, CUstream stream) {
  return with_stream(stream, [&](Context& context, StreamHandle handle) {
    return copy(context, handle, destination, source, bytes, When::ordered);
  });
}
