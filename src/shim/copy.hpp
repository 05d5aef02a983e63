#pragma once
#include <algorithm>
#include <array>
#include <cstring>

#include "shim/stream.hpp"

/// Copies. Pinned memory is named by its place in the arena; pageable memory passes through the staging area in chunks,
/// several in flight; small pageable sources travel in the record.
namespace vgpu::shim {

enum class Where { device, pinned, pageable };

/// What lies at an address, as far as this process knows.
Where where(const void* address, u64 bytes);
inline Where where(u64 address, u64 bytes) { return where(reinterpret_cast<const void*>(address), bytes); }

enum class When {
  done,     ///< return when the copy is done (or, to the GPU, when the source has been read)
  ordered,  ///< return when the program may not notice the difference
};

/// One copy between any two addresses, in stream order.
CUresult copy(const Context& context, StreamHandle stream, u64 destination, u64 source, u64 bytes, When when);

/// Copies whose sides the call itself names: a host side is never looked for on the GPU, unless it is known to be
/// there.
CUresult copy_to_device(const Context& context, StreamHandle stream, u64 destination, const void* source, u64 bytes,
                        When when);
CUresult copy_from_device(const Context& context, StreamHandle stream, void* destination, u64 source, u64 bytes,
                          When when);
CUresult copy_on_device(const Context& context, StreamHandle stream, u64 destination, u64 source, u64 bytes, When when);

/// Waits for a call begun in `slot`, then for what went wrong before it.
CUresult finish(u32 slot, u32 ticket);

/// Sends a call for each piece from `next` to `pieces` through staging chunks, several in flight, and waits for all:
/// start(piece, chunk, ticket) begins one in the chunk's slot, done(piece, chunk) follows its success. The first error
/// ends it.
template <typename Start, typename Done>
CUresult staged(u64 next, u64 pieces, Start&& start, Done&& done) {
  struct Flight {
    u64 piece;
    u32 chunk;
    u32 ticket;
  };
  constexpr u32 kDepth = 8;
  State& s = state();
  std::array<Flight, kDepth> flights;
  u32 first = 0;
  u32 count = 0;
  CUresult result = CUDA_SUCCESS;
  for (;;) {
    while (result == CUDA_SUCCESS && next < pieces && count < kDepth) {
      const u32 chunk = count == 0 ? s.staging.take() : s.staging.try_take();
      if (chunk == Staging::kNone) {
        if (count == 0) result = s.channel->health();
        break;
      }
      u32 ticket = 0;
      result = start(next, chunk, ticket);
      if (result != CUDA_SUCCESS) {
        s.staging.give(chunk);
        break;
      }
      flights[(first + count++) % kDepth] = {next++, chunk, ticket};
    }
    if (count == 0) break;
    const Flight flight = flights[first];
    first = (first + 1) % kDepth;
    --count;
    const CUresult answered = s.channel->await(Staging::slot(flight.chunk), flight.ticket);
    if (result == CUDA_SUCCESS) result = answered;
    if (result == CUDA_SUCCESS) done(flight.piece, flight.chunk);
    s.staging.give(flight.chunk);
  }
  take_kernel_text();
  return result == CUDA_SUCCESS ? s.channel->take_error() : result;
}

inline void no_tail(std::byte*) noexcept {}

}  // namespace vgpu::shim
