#pragma once
#include "protocol/executor_link.hpp"

namespace vgpu::executor {

/// Adds to a counter that only the calling thread writes.
inline void bump(protocol::SessionStats::Counter& counter, protocol::u64 by = 1) noexcept {
  counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}

}  // namespace vgpu::executor
