#include "shim/callable_facts.hpp"

namespace vgpu::shim {

namespace {
constexpr protocol::u32 kEvery = ~protocol::u32{0};
}

CallableFacts::u32 CallableFacts::change(u32 attributes) noexcept {
  known_.store(0, std::memory_order_release);
  set_.fetch_and(~attributes, std::memory_order_release);
  max_dynamic_shared.store(-1, std::memory_order_release);
  max_threads.store(0, std::memory_order_release);
  occupancies_.clear();
  return version_.fetch_add(1, std::memory_order_acq_rel);
}

void CallableFacts::remember(u32 attribute, i32 value, u32 version) noexcept {
  const std::lock_guard lock(mutex_);
  if (changing_ != 0 || version_.load(std::memory_order_relaxed) != version) return;
  value_[attribute].store(value, std::memory_order_relaxed);
  known_.fetch_or(1u << attribute, std::memory_order_release);
}

void CallableFacts::begin_change() noexcept {
  const std::lock_guard lock(mutex_);
  ++changing_;
  change(kEvery);
}

void CallableFacts::end_change() noexcept {
  const std::lock_guard lock(mutex_);
  --changing_;
  change(kEvery);
}

CallableFacts::u32 CallableFacts::begin_setting(u32 attribute) noexcept {
  const std::lock_guard lock(mutex_);
  const bool alone = changing_++ == 0;
  const u32 version = change(1u << attribute) + 1;
  return alone ? version : 0;
}

void CallableFacts::end_setting(u32 begun, u32 attribute, i32 value, bool set) noexcept {
  const std::lock_guard lock(mutex_);
  --changing_;
  const bool undisturbed = version_.load(std::memory_order_relaxed) == begun;
  change(undisturbed ? 1u << attribute : kEvery);
  if (!undisturbed || !set) return;
  set_to_[attribute].store(value, std::memory_order_relaxed);
  set_.fetch_or(1u << attribute, std::memory_order_release);
}

bool CallableFacts::find(Occupancy& wanted) noexcept {
  const std::lock_guard lock(mutex_);
  for (const Occupancy& known : occupancies_) {
    if (!known.is_of(wanted)) continue;
    wanted.blocks = known.blocks;
    return true;
  }
  return false;
}

void CallableFacts::remember(const Occupancy& occupancy, u32 version) {
  const std::lock_guard lock(mutex_);
  if (changing_ != 0 || version_.load(std::memory_order_relaxed) != version) return;
  if (occupancies_.size() == kMostOccupancies) occupancies_.clear();
  occupancies_.push_back(occupancy);
}

}  // namespace vgpu::shim
