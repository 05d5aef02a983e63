#include "softgpu/event_count.hpp"

#include <immintrin.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <climits>

#include "softgpu/cores.hpp"

namespace vgpu::softgpu {

unsigned usable_cores() noexcept {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  const int count = CPU_COUNT(&set);
  return count < 1 ? 1 : static_cast<unsigned>(count);
}

std::uint64_t spin_nanoseconds() noexcept {
  // A few microseconds cover a short kernel's run; on few cores a longer spin would take them from the kernels.
  static const std::uint64_t value = [] {
    const unsigned cores = usable_cores();
    return std::uint64_t{cores < 2 ? 0u : cores < 8 ? 20'000u : 50'000u};
  }();
  return value;
}

std::uint64_t monotonic_nanoseconds() noexcept {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(now.tv_nsec);
}

void spin_pause() noexcept { _mm_pause(); }

void EventCount::wake() noexcept {
  epoch_.fetch_add(1, std::memory_order_seq_cst);
  syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&epoch_), FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

void EventCount::sleep(std::uint32_t epoch) noexcept {
  syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&epoch_), FUTEX_WAIT_PRIVATE, epoch, nullptr, nullptr, 0);
}

}  // namespace vgpu::softgpu
