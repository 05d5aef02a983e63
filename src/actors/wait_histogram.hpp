#pragma once
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace vgpu::daemon {

/// Upper bounds of the buckets, in seconds: from what nobody notices to what the watchdog ends.
inline constexpr std::array<double, 14> kWaitBounds{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01,
                                                    0.025,  0.05,    0.1,    0.25,  0.5,    1,     10};

/// Times, counted by buckets with these upper bounds. Not cumulative; the last bucket is of all that is longer.
template <const auto& kBounds>
struct TimeCounts {
  static constexpr const auto& bounds = kBounds;
  std::array<std::uint64_t, kBounds.size() + 1> buckets{};
  std::uint64_t nanoseconds = 0;

  void add(const TimeCounts& other) noexcept {
    for (std::size_t i = 0; i < buckets.size(); ++i) buckets[i] += other.buckets[i];
    nanoseconds += other.nanoseconds;
  }
  std::uint64_t count() const noexcept {
    std::uint64_t sum = 0;
    for (const std::uint64_t bucket : buckets) sum += bucket;
    return sum;
  }
};

/// How long a session, or many, waited for leases: from having work to a lease.
using WaitCounts = TimeCounts<kWaitBounds>;

/// The same while it grows: one thread notes, any may read.
class WaitHistogram {
 public:
  void note(std::chrono::nanoseconds waited) noexcept {
    const double seconds = std::chrono::duration<double>(waited).count();
    std::size_t bucket = 0;
    while (bucket < kWaitBounds.size() && seconds > kWaitBounds[bucket]) ++bucket;
    buckets_[bucket].fetch_add(1, std::memory_order_relaxed);
    nanoseconds_.fetch_add(static_cast<std::uint64_t>(waited.count()), std::memory_order_relaxed);
  }
  WaitCounts read() const noexcept {
    WaitCounts counts;
    for (std::size_t i = 0; i < buckets_.size(); ++i) counts.buckets[i] = buckets_[i].load(std::memory_order_relaxed);
    counts.nanoseconds = nanoseconds_.load(std::memory_order_relaxed);
    return counts;
  }

 private:
  std::array<std::atomic<std::uint64_t>, kWaitBounds.size() + 1> buckets_{};
  std::atomic<std::uint64_t> nanoseconds_{0};
};

}  // namespace vgpu::daemon
