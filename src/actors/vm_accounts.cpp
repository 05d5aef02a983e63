#include "actors/vm_accounts.hpp"

#include <sys/mman.h>

#include <bitset>
#include <cerrno>
#include <cstring>

#include "actors/sealed_memory.hpp"

namespace vgpu::daemon {

using protocol::VmAccount;

struct VmPlace::Vm {
  ~Vm() {
    if (account != nullptr) ::munmap(account, sizeof(VmAccount));
  }
  bool map() {
    fd = sealed_memory("vgpu-account", sizeof(VmAccount));
    if (!fd) return false;
    void* const mapping = ::mmap(nullptr, sizeof(VmAccount), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (mapping == MAP_FAILED) return false;
    account = static_cast<VmAccount*>(mapping);
    return true;
  }

  UniqueFd fd;
  VmAccount* account = nullptr;
  std::mutex mutex;
  std::bitset<VmAccount::kSlots> taken;
  std::uint32_t sessions = 0;
};

namespace {

void store(const Limits& limits, VmAccount& account) noexcept {
  for (std::size_t i = 0; i < limits.most.size(); ++i)
    account.limits[i].store(limits.most[i], std::memory_order_relaxed);
  account.in_flight.store(limits.in_flight, std::memory_order_relaxed);
  account.calls_per_second.store(limits.calls_per_second, std::memory_order_relaxed);
}

}  // namespace

int VmPlace::fd() const noexcept { return vm_->fd.get(); }

void VmPlace::ended() noexcept {
  const std::lock_guard lock(vm_->mutex);
  if (std::exchange(ended_, true)) return;
  --vm_->sessions;
  vm_->account->slots[slot_].ending.store(1, std::memory_order_relaxed);
}

void VmPlace::reaped() noexcept {
  ended();
  const std::lock_guard lock(vm_->mutex);
  if (std::exchange(reaped_, true)) return;
  for (auto& held : vm_->account->slots[slot_].held) held.store(0, std::memory_order_seq_cst);
  vm_->account->slots[slot_].ending.store(0, std::memory_order_relaxed);
  vm_->taken.reset(slot_);
}

bool VmPlace::is_reaped() const noexcept {
  const std::lock_guard lock(vm_->mutex);
  return reaped_;
}

std::uint64_t VmPlace::held(protocol::Limit limit) const noexcept {
  const std::lock_guard lock(vm_->mutex);
  if (reaped_) return 0;  // the slot may be another session's
  return vm_->account->slots[slot_].held[static_cast<std::size_t>(limit)].load(std::memory_order_relaxed);
}

void VmAccounts::changed(std::uint32_t vm, const Limits& limits) {
  const std::lock_guard lock(mutex_);
  const auto found = vms_.find(vm);
  const auto its = found != vms_.end() ? found->second.lock() : nullptr;
  if (its != nullptr) store(limits, *its->account);
}

VmPlacePtr VmAccounts::open(std::uint32_t vm, const Limits& limits, Refused& refused, std::string& error) {
  const std::lock_guard lock(mutex_);
  std::erase_if(vms_, [](const auto& entry) { return entry.second.expired(); });
  refused = Refused::no;
  std::shared_ptr<VmPlace::Vm> its = vms_[vm].lock();
  if (its == nullptr) {
    its = std::make_shared<VmPlace::Vm>();
    if (!its->map()) {
      error = std::string("the account of the VM: ") + std::strerror(errno);
      refused = Refused::by_system;
      return nullptr;
    }
    vms_[vm] = its;
  }
  const std::lock_guard vm_lock(its->mutex);
  std::uint32_t slot = 0;
  while (slot < VmAccount::kSlots && its->taken.test(slot)) ++slot;
  if (its->sessions >= limits.sessions || slot == VmAccount::kSlots) {
    refused = Refused::too_many_sessions;
    return nullptr;
  }
  VmAccount& account = *its->account;
  store(limits, account);
  // Before anybody writes the slot: who sums reads up to here.
  if (account.slots_used.load(std::memory_order_relaxed) <= slot)
    account.slots_used.store(slot + 1, std::memory_order_seq_cst);
  auto place = std::make_shared<VmPlace>(its, slot);
  its->taken.set(slot);
  ++its->sessions;
  return place;
}

}  // namespace vgpu::daemon
