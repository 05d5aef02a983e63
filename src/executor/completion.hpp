#pragma once
#include <array>
#include <atomic>
#include <span>

#include "executor/cuda_api.hpp"
#include "protocol/layout.h"
#include "protocol/types.hpp"

namespace vgpu::executor {

/// How a guest thread that sleeps on its slot is woken: depends on the carrier. Any thread.
class Waker {
 public:
  virtual ~Waker() = default;
  virtual void wake(vgpu_slot& slot) noexcept = 0;
  /// Every thread that sleeps on one of them.
  virtual void wake_all(std::span<vgpu_slot> slots) noexcept {
    for (vgpu_slot& slot : slots) wake(slot);
  }
};

/// For guests of the same kernel: the thread sleeps in a shared futex on slot.done.
class FutexWaker final : public Waker {
 public:
  void wake(vgpu_slot& slot) noexcept override;
};

/// For guests in a VM: the channel's interrupt, upon which the guest's driver wakes all threads of the channel to look.
class InterruptWaker final : public Waker {
 public:
  /// `eventfd` stays the caller's.
  explicit InterruptWaker(int eventfd) noexcept : eventfd_(eventfd) {}
  void wake(vgpu_slot& slot) noexcept override;
  void wake_all(std::span<vgpu_slot> slots) noexcept override;

 private:
  void raise() noexcept;
  int eventfd_;
};

/// Where an answer goes.
struct Answer {
  protocol::u32 slot = VGPU_NO_SLOT;
  protocol::u32 ticket = 0;
};

/// Writes answers into the guest's completion slots.
class Completions {
 public:
  Completions(vgpu_slot* slots, Waker& waker) noexcept : slots_(slots), waker_(waker) {}

  /// Writes the answer and wakes the guest thread if it sleeps. `reply_bytes` is at most VGPU_SLOT_REPLY_BYTES. Does
  /// nothing without a slot. `last`: false: more answers will follow in the slot, which so stays marked (defer()). Any
  /// thread.
  void complete(Answer answer, CUresult result, const void* reply, protocol::u32 reply_bytes,
                bool last = true) noexcept;

  /// Marks the slot as waiting for a later answer, which takes the mark off. False: it waits for one already, so that
  /// the guest broke the rule that makes all queues here finite. Reader thread.
  bool defer(protocol::u32 slot) noexcept { return !deferred_[slot].exchange(true, std::memory_order_acq_rel); }

  /// Wakes every guest thread that sleeps, to look at the session's state. Any thread.
  void wake_all() noexcept;

 private:
  vgpu_slot* slots_;
  Waker& waker_;
  std::array<std::atomic<bool>, VGPU_SLOT_COUNT> deferred_{};
};

}  // namespace vgpu::executor
