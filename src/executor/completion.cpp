#include "executor/completion.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstring>

namespace vgpu::executor {

using protocol::u32;

void FutexWaker::wake(vgpu_slot& slot) noexcept {
  syscall(SYS_futex, &slot.done, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void InterruptWaker::wake(vgpu_slot&) noexcept { raise(); }
void InterruptWaker::wake_all(std::span<vgpu_slot>) noexcept { raise(); }

void InterruptWaker::raise() noexcept {
  const std::uint64_t one = 1;
  // A full counter (EAGAIN) is an interrupt that is due already.
  while (write(eventfd_, &one, sizeof one) < 0 && errno == EINTR) {
  }
}

void Completions::complete(Answer answer, CUresult result, const void* reply, u32 reply_bytes, bool last) noexcept {
  if (answer.slot == VGPU_NO_SLOT) return;
  vgpu_slot& slot = slots_[answer.slot];
  if (reply_bytes != 0) std::memcpy(slot.reply, reply, reply_bytes);
  slot.result = static_cast<protocol::i32>(result);
  slot.reply_bytes = reply_bytes;
  // Before `done`: from then on the guest may use the slot again.
  if (last) deferred_[answer.slot].store(false, std::memory_order_release);
  std::atomic_ref(slot.done).store(answer.ticket, std::memory_order_release);
  // The guest sets `sleeping`, fences and looks at `done`: one of the two sees the other's store.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (std::atomic_ref(slot.sleeping).load(std::memory_order_relaxed) != 0) waker_.wake(slot);
}

void Completions::wake_all() noexcept { waker_.wake_all({slots_, VGPU_SLOT_COUNT}); }

}  // namespace vgpu::executor
