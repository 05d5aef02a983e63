#include "shim/allocations.hpp"

namespace vgpu::shim {

void Allocations::add(Allocation allocation) {
  std::unique_lock lock(mutex_);
  allocation.id = next_id_++;
  by_base_[allocation.base] = allocation;
}

std::optional<Allocation> Allocations::remove(u64 base, Allocation::Kind kind) {
  std::unique_lock lock(mutex_);
  const auto found = by_base_.find(base);
  if (found == by_base_.end() || found->second.kind != kind) return std::nullopt;
  Allocation allocation = found->second;
  by_base_.erase(found);
  return allocation;
}

std::optional<Allocation> Allocations::find(u64 address) const {
  std::shared_lock lock(mutex_);
  auto after = by_base_.upper_bound(address);
  if (after == by_base_.begin()) return std::nullopt;
  const Allocation& candidate = std::prev(after)->second;
  if (address - candidate.base >= candidate.bytes) return std::nullopt;
  return candidate;
}

std::vector<Allocation> Allocations::remove_range(u64 start, u64 bytes, Allocation::Kind kind) {
  std::unique_lock lock(mutex_);
  std::vector<Allocation> gone;
  for (auto at = by_base_.lower_bound(start); at != by_base_.end() && at->first - start < bytes;) {
    if (at->second.kind == kind && at->second.bytes <= bytes - (at->first - start)) {
      gone.push_back(at->second);
      at = by_base_.erase(at);
    } else {
      ++at;
    }
  }
  return gone;
}

std::vector<Allocation> Allocations::remove_context(u64 context) {
  std::unique_lock lock(mutex_);
  std::vector<Allocation> gone;
  for (auto at = by_base_.begin(); at != by_base_.end();) {
    if (at->second.context == context) {
      gone.push_back(at->second);
      at = by_base_.erase(at);
    } else {
      ++at;
    }
  }
  return gone;
}

}  // namespace vgpu::shim
