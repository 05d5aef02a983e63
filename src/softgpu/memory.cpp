#include "softgpu/memory.hpp"

#include <sys/mman.h>

#include "softgpu/context.hpp"
#include "softgpu/device.hpp"
#include "softgpu/memory_pool.hpp"

namespace vgpu::softgpu {

Memory::Memory(std::uint64_t total_bytes) : heap_(total_bytes) {}

std::optional<std::uint64_t> Memory::reserve(Device& device, std::uint64_t bytes) {
  const std::uint64_t charged = Heap::rounded(bytes);
  if (charged == 0 || !device.charge(charged)) return std::nullopt;
  std::optional<std::uint64_t> address;
  {
    const std::lock_guard lock(mutex_);
    address = heap_.reserve(bytes);
  }
  if (!address) device.refund(charged);
  return address;
}

void Memory::give_back(Device& device, std::uint64_t address, std::uint64_t reserved) noexcept {
  Heap::clear(address, reserved);
  {
    const std::lock_guard lock(mutex_);
    heap_.release(address, reserved);
  }
  device.refund(reserved);
}

bool Memory::enter(Allocation allocation) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t address = allocation.address;
  const std::uint64_t bytes = allocation.bytes;
  const auto next = allocations_.lower_bound(address);
  if (next != allocations_.end() && next->first < address + bytes) return false;
  if (holder(address) != allocations_.end()) return false;
  allocation.id = next_id_++;
  if (allocation.device == nullptr) allocation.device = &allocation.context->device();
  const bool on_device = allocation.on_device();
  const std::uint64_t reserved = allocation.reserved;
  const auto entered = allocations_.emplace(address, std::move(allocation)).first;
  if (on_device) {
    map_.mark_heap(address, reserved, true);
  } else if (!map_.add_host(address, bytes)) {
    allocations_.erase(entered);
    return false;
  }
  return true;
}

std::optional<Allocation> Memory::take(std::uint64_t address, const std::function<bool(const Allocation&)>& allowed) {
  const std::lock_guard lock(mutex_);
  const auto found = allocations_.find(address);
  if (found == allocations_.end() || !allowed(found->second)) return std::nullopt;
  Allocation allocation = std::move(found->second);
  allocations_.erase(found);
  if (allocation.on_device()) {
    map_.mark_heap(address, allocation.reserved, false);
  } else {
    map_.remove_host(address);
  }
  return allocation;
}

std::uint64_t Memory::allocate(Context& context, std::uint64_t bytes, MemoryKind kind) {
  const auto address = reserve(context.device(), bytes);
  if (!address) return 0;
  Allocation allocation;
  allocation.address = *address;
  allocation.bytes = bytes;
  allocation.reserved = Heap::rounded(bytes);
  allocation.kind = kind;
  allocation.context = &context;
  enter(std::move(allocation));
  return *address;
}

void Memory::dispose(const Allocation& allocation) noexcept {
  switch (allocation.kind) {
    case MemoryKind::device:
    case MemoryKind::variable:
      give_back(*allocation.device, allocation.address, allocation.reserved);
      break;
    case MemoryKind::async:
      allocation.pool->put(allocation.address, allocation.reserved);
      break;
    case MemoryKind::host:
      munmap(reinterpret_cast<void*>(allocation.address), allocation.reserved);
      break;
    case MemoryKind::registered:
      break;
  }
}

void Memory::free_all_of(const Context& context) {
  std::vector<std::uint64_t> addresses;
  {
    const std::shared_lock lock(mutex_);
    for (const auto& [address, allocation] : allocations_) {
      if (allocation.context == &context) addresses.push_back(address);
    }
  }
  for (const std::uint64_t address : addresses) {
    const auto allocation = take(address, [&](const Allocation& it) { return it.context == &context; });
    if (allocation) dispose(*allocation);
  }
}

std::map<std::uint64_t, Allocation>::const_iterator Memory::holder(std::uint64_t address) const {
  auto next = allocations_.upper_bound(address);
  if (next == allocations_.begin()) return allocations_.end();
  --next;
  return address - next->first < next->second.bytes ? next : allocations_.end();
}

std::optional<Allocation> Memory::find(std::uint64_t address) const {
  const std::shared_lock lock(mutex_);
  const auto found = holder(address);
  if (found == allocations_.end()) return std::nullopt;
  return found->second;
}

bool Memory::overlaps(std::uint64_t address, std::uint64_t bytes) const {
  const std::shared_lock lock(mutex_);
  const auto next = allocations_.lower_bound(address);
  return (next != allocations_.end() && next->first - address < bytes) || holder(address) != allocations_.end();
}

bool Memory::begin_free(std::uint64_t address, std::shared_ptr<MemoryPool>& pool) {
  const std::lock_guard lock(mutex_);
  const auto found = allocations_.find(address);
  if (found == allocations_.end() || found->second.freeing) return false;
  if (found->second.kind != MemoryKind::async && found->second.kind != MemoryKind::device) return false;
  found->second.freeing = true;
  pool = found->second.pool;
  return true;
}

}  // namespace vgpu::softgpu
