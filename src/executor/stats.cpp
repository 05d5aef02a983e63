#include "executor/stats.hpp"

namespace vgpu::executor {

using protocol::u64;

void Allocations::add(u64 address, u64 bytes) {
  std::lock_guard lock(mutex_);
  u64& held = bytes_[address];
  total_ += bytes - held;
  held = bytes;
  stats_.memory_used_bytes.store(total_, std::memory_order_relaxed);
}

u64 Allocations::remove(u64 address) {
  std::lock_guard lock(mutex_);
  const auto found = bytes_.find(address);
  if (found == bytes_.end()) return 0;
  const u64 held = found->second;
  total_ -= held;
  bytes_.erase(found);
  stats_.memory_used_bytes.store(total_, std::memory_order_relaxed);
  return held;
}

}  // namespace vgpu::executor
