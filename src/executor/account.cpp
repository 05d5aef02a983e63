#include "executor/account.hpp"

#include <algorithm>
#include <chrono>

namespace vgpu::executor {

using namespace protocol;

namespace {

/// No device and no table has so much: sums of what is below don't overflow.
constexpr u64 kAbsurd = u64{1} << 50;

constexpr std::size_t index_of(Limit limit) noexcept { return static_cast<std::size_t>(limit); }

}  // namespace

Account::Account(AccountPlace place, SessionStats& stats)
    : own_(place.account == nullptr ? std::make_unique<VmAccount>() : nullptr),
      account_(own_ != nullptr ? own_.get() : place.account),
      slot_(account_->slots[place.slot]),
      stats_(stats) {
  if (own_ != nullptr) own_->slots_used = place.slot + 1;
}

bool Account::reserve(Limit limit, u64 amount) noexcept {
  const u64 most = this->limit(limit);
  if (amount > (most != 0 ? std::min(most, kAbsurd) : kAbsurd)) return false;
  // Raised before the others are looked at, all in one order: whoever is the last to raise its slot sees every other.
  slot_.held[index_of(limit)].fetch_add(amount, std::memory_order_seq_cst);
  if (most != 0 && used(limit) > most) {
    slot_.held[index_of(limit)].fetch_sub(amount, std::memory_order_seq_cst);
    return false;
  }
  if (limit == Limit::memory) change_memory(amount);
  return true;
}

void Account::take(Limit limit, u64 amount) noexcept {
  slot_.held[index_of(limit)].fetch_add(amount, std::memory_order_seq_cst);
  if (limit == Limit::memory) change_memory(amount);
}

void Account::release(Limit limit, u64 amount) noexcept {
  if (amount == 0) return;
  slot_.held[index_of(limit)].fetch_sub(amount, std::memory_order_seq_cst);
  if (limit == Limit::memory) change_memory(u64{0} - amount);
}

void Account::change_memory(u64 difference) noexcept {
  const std::lock_guard lock(memory_mutex_);
  const auto now = static_cast<u64>(std::chrono::steady_clock::now().time_since_epoch().count());
  const u64 held = stats_.memory_used_bytes.load(std::memory_order_relaxed);
  const u64 before = stats_.memory_changed.load(std::memory_order_relaxed);
  const double seconds = before == 0 ? 0 : static_cast<double>(now - before) / 1e9;
  stats_.memory_byte_seconds.store(
      stats_.memory_byte_seconds.load(std::memory_order_relaxed) + static_cast<double>(held) * seconds,
      std::memory_order_relaxed);
  stats_.memory_changed.store(now, std::memory_order_relaxed);
  stats_.memory_used_bytes.store(held + difference, std::memory_order_relaxed);
}

void Account::refuse(Limit limit) noexcept {
  // More than there could be of anything is no refusal of ours where there is no limit.
  if (this->limit(limit) != 0) stats_.refused[index_of(limit)].fetch_add(1, std::memory_order_relaxed);
}

u64 Account::limit(Limit limit) const noexcept {
  return account_->limits[index_of(limit)].load(std::memory_order_relaxed);
}

u64 Account::used(Limit limit) const noexcept {
  const u64 slots = std::min<u64>(account_->slots_used.load(std::memory_order_seq_cst), VmAccount::kSlots);
  u64 sum = 0;
  for (u64 i = 0; i < slots; ++i) sum += account_->slots[i].held[index_of(limit)].load(std::memory_order_seq_cst);
  return sum;
}

u64 Account::left(Limit limit) const noexcept {
  const u64 most = this->limit(limit);
  if (most == 0) return kAbsurd;
  return most - std::min(most, used(limit));
}

bool Account::some_is_about_to_go(Limit limit) const noexcept {
  const u64 slots = std::min<u64>(account_->slots_used.load(std::memory_order_relaxed), VmAccount::kSlots);
  for (u64 i = 0; i < slots; ++i) {
    const VmAccount::Slot& slot = account_->slots[i];
    if (slot.ending.load(std::memory_order_relaxed) != 0 &&
        slot.held[index_of(limit)].load(std::memory_order_relaxed) != 0)
      return true;
  }
  return false;
}

}  // namespace vgpu::executor
