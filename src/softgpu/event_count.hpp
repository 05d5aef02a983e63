#pragma once
#include <atomic>
#include <cstdint>

namespace vgpu::softgpu {

/// How long a waiting thread spins before it sleeps, in nanoseconds: nothing on a single core.
std::uint64_t spin_nanoseconds() noexcept;
std::uint64_t monotonic_nanoseconds() noexcept;
void spin_pause() noexcept;

/// Lets threads sleep until a condition over sequentially consistent atomics holds. Signalling costs one load while
/// nobody sleeps. Conditions and the changes to them must use memory_order_seq_cst: that is what keeps a wake-up from
/// being lost.
class EventCount {
 public:
  /// To be called after each change that may make a condition true.
  void notify() noexcept {
    if (sleepers_.load(std::memory_order_seq_cst) != 0) wake();
  }

  /// Returns once condition() is true. Spins for at most spin_ns first.
  template <class Condition>
  void await(Condition condition, std::uint64_t spin_ns) noexcept {
    if (condition()) return;
    if (spin_ns != 0) {
      const std::uint64_t end = monotonic_nanoseconds() + spin_ns;
      do {
        for (int i = 0; i < 16; ++i) {
          spin_pause();
          if (condition()) return;
        }
      } while (monotonic_nanoseconds() < end);
    }
    sleepers_.fetch_add(1, std::memory_order_seq_cst);
    while (!condition()) {
      const std::uint32_t epoch = epoch_.load(std::memory_order_seq_cst);
      if (condition()) break;
      sleep(epoch);
    }
    sleepers_.fetch_sub(1, std::memory_order_seq_cst);
  }

 private:
  void wake() noexcept;
  void sleep(std::uint32_t epoch) noexcept;

  std::atomic<std::uint32_t> epoch_{0};
  std::atomic<std::uint32_t> sleepers_{0};
};

}  // namespace vgpu::softgpu
