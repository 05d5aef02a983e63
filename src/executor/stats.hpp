#pragma once
#include <mutex>
#include <unordered_map>

#include "protocol/executor_link.hpp"

namespace vgpu::executor {

/// Adds to a counter that only the calling thread writes.
inline void bump(protocol::SessionStats::Counter& counter, protocol::u64 by = 1) noexcept {
  counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}

/// Device memory that the session holds through allocation calls, by address. Any thread.
class Allocations {
 public:
  explicit Allocations(protocol::SessionStats& stats) noexcept : stats_(stats) {}
  void add(protocol::u64 address, protocol::u64 bytes);
  /// Returns the bytes that were held there; 0 if none.
  protocol::u64 remove(protocol::u64 address);

 private:
  protocol::SessionStats& stats_;
  std::mutex mutex_;
  std::unordered_map<protocol::u64, protocol::u64> bytes_;
  protocol::u64 total_ = 0;
};

}  // namespace vgpu::executor
