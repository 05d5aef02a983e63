#include "executor/signal.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ctime>

namespace vgpu::executor {

void Signal::sleep(std::uint32_t seen, std::int64_t microseconds) noexcept {
  sleeping_.store(1, std::memory_order_seq_cst);
  if (count_.load(std::memory_order_seq_cst) == seen) {
    timespec limit{};
    limit.tv_sec = static_cast<time_t>(microseconds / 1'000'000);
    limit.tv_nsec = static_cast<long>(microseconds % 1'000'000 * 1000);
    syscall(SYS_futex, &count_, FUTEX_WAIT_PRIVATE, seen, microseconds < 0 ? nullptr : &limit, nullptr, 0);
  }
  sleeping_.store(0, std::memory_order_relaxed);
}

void Signal::raise() noexcept {
  count_.fetch_add(1, std::memory_order_seq_cst);
  if (sleeping_.load(std::memory_order_seq_cst) != 0)
    syscall(SYS_futex, &count_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

}  // namespace vgpu::executor
