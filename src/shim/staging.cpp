#include "shim/staging.hpp"

#include <bit>

namespace vgpu::shim {

u32 Staging::try_take() noexcept {
  const u32 chunk = free_.take();
  if (chunk != kNone) return chunk;
  reclaim();
  return free_.take();
}

u32 Staging::take() noexcept {
  u32 chunk = try_take();
  if (chunk == kNone) chunk = wait_for_answered();
  if (chunk == kNone)
    chunk = free_.wait([this] {
      reclaim();
      return !channel_.look_for_death();
    });
  return chunk;
}

void Staging::give_when_answered(u32 chunk, u32 ticket) noexcept {
  if (free_.has_waiters()) {
    const CUresult result = channel_.await(slot(chunk), ticket);
    if (result != CUDA_SUCCESS) channel_.leave_error(result);
    give(chunk);
    return;
  }
  std::lock_guard lock(mutex_);
  tickets_[chunk] = ticket;
  in_flight_.fetch_or(1u << chunk, std::memory_order_release);
}

void Staging::reclaim() noexcept {
  if (in_flight_.load(std::memory_order_acquire) == 0) return;
  std::lock_guard lock(mutex_);
  for (u32 left = in_flight_.load(std::memory_order_relaxed); left != 0; left &= left - 1) {
    const u32 chunk = static_cast<u32>(std::countr_zero(left));
    if (!channel_.answered(slot(chunk), tickets_[chunk])) continue;
    in_flight_.fetch_and(~(1u << chunk), std::memory_order_relaxed);
    collect(chunk);
    give(chunk);
  }
}

void Staging::collect(u32 chunk) noexcept {
  const CUresult result = channel_.await(slot(chunk), tickets_[chunk]);
  if (result != CUDA_SUCCESS) channel_.leave_error(result);
}

/// Waits for one of those in flight and keeps it; kNone if none is in flight, or the session ended.
u32 Staging::wait_for_answered() noexcept {
  u32 chunk;
  {
    std::lock_guard lock(mutex_);
    const u32 all = in_flight_.load(std::memory_order_relaxed);
    if (all == 0) return kNone;
    chunk = static_cast<u32>(std::countr_zero(all));
    in_flight_.fetch_and(~(1u << chunk), std::memory_order_relaxed);
  }
  collect(chunk);
  if (channel_.has_ended()) {
    give(chunk);
    return kNone;
  }
  return chunk;
}

}  // namespace vgpu::shim
