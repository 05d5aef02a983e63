#pragma once
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

/// Sleeping on a word, and what is built on it inside this process.
namespace vgpu::shim {

inline void cpu_pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#else
  std::atomic_signal_fence(std::memory_order_seq_cst);
#endif
}

/// Sleeps while `word` is `expected`, for at most `timeout_ns`; may wake for no reason. `shared`: the word lies in
/// memory that another process maps too. False: the time is over.
inline bool futex_wait(std::uint32_t& word, std::uint32_t expected, std::int64_t timeout_ns, bool shared) noexcept {
  const timespec timeout{timeout_ns / 1'000'000'000, timeout_ns % 1'000'000'000};
  const int operation = shared ? FUTEX_WAIT : FUTEX_WAIT_PRIVATE;
  return ::syscall(SYS_futex, &word, operation, expected, &timeout, nullptr, 0) == 0 || errno != ETIMEDOUT;
}

inline void futex_wake(std::uint32_t& word, int count, bool shared) noexcept {
  ::syscall(SYS_futex, &word, shared ? FUTEX_WAKE : FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
}

/// A lock for sections of well under a microsecond: spins first, then sleeps. Meets BasicLockable.
class AdaptiveMutex {
 public:
  void lock() noexcept {
    if (try_take()) return;
    for (int i = 0; i < kSpins; ++i) {
      cpu_pause();
      if (word().load(std::memory_order_relaxed) == kFree && try_take()) return;
    }
    while (word().exchange(kContended, std::memory_order_acquire) != kFree)
      futex_wait(word_, kContended, 1'000'000'000, false);
  }
  void unlock() noexcept {
    if (word().exchange(kFree, std::memory_order_release) == kContended) futex_wake(word_, 1, false);
  }

 private:
  static constexpr std::uint32_t kFree = 0, kTaken = 1, kContended = 2;
  static constexpr int kSpins = 200;
  std::atomic_ref<std::uint32_t> word() noexcept { return std::atomic_ref<std::uint32_t>(word_); }
  bool try_take() noexcept {
    std::uint32_t expected = kFree;
    return word().compare_exchange_strong(expected, kTaken, std::memory_order_acquire, std::memory_order_relaxed);
  }
  std::uint32_t word_ = kFree;
};

/// A set of small numbers: taken and given back without a lock, waited for when it is empty.
class NumberPool {
 public:
  static constexpr std::uint32_t kCapacity = 1024;
  static constexpr std::uint32_t kNone = ~0u;

  /// Fills it with `count` numbers from `first`; before any other use. first + count <= kCapacity.
  void fill(std::uint32_t first, std::uint32_t count) noexcept {
    for (std::uint32_t i = 0; i < count; ++i) give(first + count - 1 - i);
  }

  /// A number, or kNone.
  std::uint32_t take() noexcept {
    std::uint64_t head = head_.load(std::memory_order_acquire);
    for (;;) {
      const auto place = static_cast<std::uint32_t>(head);
      if (place == 0) return kNone;
      // The upper half counts changes, so that a number which left and came back in between is noticed.
      const std::uint64_t next = ((head >> 32) + 1) << 32 | next_[place - 1].load(std::memory_order_relaxed);
      if (head_.compare_exchange_weak(head, next, std::memory_order_acquire, std::memory_order_acquire))
        return place - 1;
    }
  }

  void give(std::uint32_t number) noexcept {
    std::uint64_t head = head_.load(std::memory_order_relaxed);
    std::uint64_t next;
    do {
      next_[number].store(static_cast<std::uint32_t>(head), std::memory_order_relaxed);
      next = ((head >> 32) + 1) << 32 | (number + 1);
    } while (!head_.compare_exchange_weak(head, next, std::memory_order_seq_cst, std::memory_order_relaxed));
    if (waiters_.load(std::memory_order_seq_cst) != 0) {
      std::atomic_ref<std::uint32_t>(given_).fetch_add(1, std::memory_order_seq_cst);
      futex_wake(given_, 1, false);
    }
  }

  /// A number, waiting for one while `go_on()` says so (asked at least once a second); else kNone.
  template <typename GoOn>
  std::uint32_t wait(GoOn&& go_on) noexcept {
    std::uint32_t number = take();
    if (number != kNone) return number;
    waiters_.fetch_add(1, std::memory_order_seq_cst);
    for (;;) {
      const std::uint32_t seen = std::atomic_ref<std::uint32_t>(given_).load(std::memory_order_seq_cst);
      number = take();
      if (number != kNone || !go_on()) break;
      futex_wait(given_, seen, 1'000'000'000, false);
    }
    waiters_.fetch_sub(1, std::memory_order_relaxed);
    return number;
  }

  bool has_waiters() const noexcept { return waiters_.load(std::memory_order_relaxed) != 0; }

 private:
  std::atomic<std::uint64_t> head_{0};
  std::atomic<std::uint32_t> next_[kCapacity] = {};
  std::atomic<std::uint32_t> waiters_{0};
  std::uint32_t given_ = 0;
};

}  // namespace vgpu::shim
