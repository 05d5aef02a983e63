#pragma once
#include "softgpu/ptx/lanes.hpp"

/// Barrier objects in shared memory (PTX ISA, "mbarrier"). The object is opaque to programs; here it holds the arrivals
/// that are pending (bits 0 to 19), those of each phase (20 to 39), the bytes that are awaited (40 to 60, with a sign:
/// a copy may be done before it is announced) and the number of the phase (61 and up; only whether it is the current
/// one or the one before can be asked). A block is run by one thread of the host at a time, so nothing here need be
/// atomic.
namespace vgpu::softgpu::ptx {

class Builder;
class Words;

namespace mbarrier {

inline constexpr u64 kCount = (u64{1} << 20) - 1;
inline constexpr u64 kBytes = (u64{1} << 21) - 1;
inline constexpr unsigned kExpectedShift = 20;
inline constexpr unsigned kBytesShift = 40;
inline constexpr unsigned kPhaseShift = 61;

/// The object after arrivals (of which `drops` will not come again) and after bytes were announced (positive) or have
/// come (negative).
inline u64 step(u64 object, u32 arrivals, u32 drops, s64 bytes) noexcept {
  u64 pending = ((object & kCount) - arrivals) & kCount;
  const u64 expected = ((object >> kExpectedShift & kCount) - drops) & kCount;
  const u64 awaited = ((object >> kBytesShift & kBytes) + static_cast<u64>(bytes)) & kBytes;
  u64 phase = object >> kPhaseShift;
  if (pending == 0 && awaited == 0) {
    pending = expected;
    phase = (phase + 1) & 7;
  }
  return pending | expected << kExpectedShift | awaited << kBytesShift | phase << kPhaseShift;
}

}  // namespace mbarrier

bool decode_mbarrier(Builder& b, Words& w);
/// cp.async.bulk and what belongs to it; the opcode and .async are taken.
bool decode_bulk(Builder& b, Words& w);
/// cp.async.mbarrier.arrive; the opcode, .async and .mbarrier are taken.
bool decode_async_arrival(Builder& b, Words& w);

}  // namespace vgpu::softgpu::ptx
