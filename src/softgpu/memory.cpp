#include "softgpu/memory.hpp"

#include <sys/mman.h>

#include "common/managed_ranges.hpp"
#include "softgpu/context.hpp"
#include "softgpu/device.hpp"
#include "softgpu/memory_pool.hpp"

namespace vgpu::softgpu {

Memory::Memory(std::uint64_t total_bytes, unsigned devices)
    : opened_(devices, std::vector<unsigned>(devices, 0)), heap_(total_bytes) {
  for (unsigned i = 0; devices > 1 && i < devices; ++i) device_maps_.push_back(std::make_unique<AddressMap>());
}

const AddressMap& Memory::map_of(const Device& device) const noexcept {
  return device_maps_.empty() ? map_ : *device_maps_[static_cast<std::size_t>(device.ordinal)];
}

bool Memory::visible(const Allocation& allocation, std::size_t device) const {
  const auto owner = static_cast<std::size_t>(allocation.device->ordinal);
  if (owner == device || allocation.managed != nullptr) return true;
  return allocation.pool != nullptr ? allocation.pool->open_to(device) : opened_[device][owner] != 0;
}

bool Memory::mark(const Allocation& allocation, bool accessible) {
  const std::uint64_t address = allocation.address;
  if (allocation.kind == MemoryKind::mapped) {
    // Made accessible by set_accessible(), a step of its own.
    if (accessible) return true;
    map_.mark_window(address, allocation.reserved, false);
    for (const auto& map : device_maps_) map->mark_window(address, allocation.reserved, false);
    return true;
  }
  if (allocation.on_device()) {
    map_.mark_heap(address, allocation.reserved, accessible);
    for (std::size_t i = 0; i < device_maps_.size(); ++i) {
      if (!accessible || visible(allocation, i)) device_maps_[i]->mark_heap(address, allocation.reserved, accessible);
    }
    return true;
  }
  // All maps hold the same host ranges, so where one has room the others have.
  if (accessible && !map_.add_host(address, allocation.bytes)) return false;
  if (!accessible) map_.remove_host(address);
  for (const auto& map : device_maps_) {
    if (accessible) {
      map->add_host(address, allocation.bytes);
    } else {
      map->remove_host(address);
    }
  }
  return true;
}

template <class Predicate>
void Memory::mark_again(std::size_t device, Predicate concerned) {
  for (const auto& [address, allocation] : allocations_) {
    if (!allocation.on_device() || allocation.kind == MemoryKind::mapped || !concerned(allocation)) continue;
    device_maps_[device]->mark_heap(address, allocation.reserved, visible(allocation, device));
  }
}

void Memory::set_peer_access(const Device& device, const Device& peer, bool open) {
  const std::lock_guard lock(mutex_);
  unsigned& count = opened_[static_cast<std::size_t>(device.ordinal)][static_cast<std::size_t>(peer.ordinal)];
  open ? ++count : --count;
  mark_again(static_cast<std::size_t>(device.ordinal),
             [&](const Allocation& it) { return it.device == &peer && it.pool == nullptr; });
}

void Memory::set_pool_access(MemoryPool& pool, const Device& device, bool open) {
  const std::lock_guard lock(mutex_);
  const auto ordinal = static_cast<std::size_t>(device.ordinal);
  pool.open_to(ordinal, open);
  if (!device_maps_.empty()) mark_again(ordinal, [&](const Allocation& it) { return it.pool.get() == &pool; });
}

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
  const auto entered = allocations_.emplace(address, std::move(allocation)).first;
  if (!mark(entered->second, true)) {
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
  mark(allocation, false);
  return allocation;
}

void Memory::set_accessible(const Device& device, std::uint64_t address, std::uint64_t bytes, bool accessible,
                            bool by_any) {
  const std::lock_guard lock(mutex_);
  map_.mark_window(address, bytes, by_any);
  if (!device_maps_.empty()) {
    device_maps_[static_cast<std::size_t>(device.ordinal)]->mark_window(address, bytes, accessible);
  }
}

std::uint64_t Memory::allocate(Context& context, std::uint64_t bytes, MemoryKind kind, bool managed) {
  const auto address = reserve(context.device(), bytes);
  if (!address) return 0;
  Allocation allocation;
  allocation.address = *address;
  allocation.bytes = bytes;
  allocation.reserved = Heap::rounded(bytes);
  allocation.kind = kind;
  allocation.context = &context;
  if (managed || kind == MemoryKind::managed) allocation.managed = std::make_shared<ManagedRanges>();
  enter(std::move(allocation));
  return *address;
}

void Memory::dispose(const Allocation& allocation) noexcept {
  switch (allocation.kind) {
    case MemoryKind::device:
    case MemoryKind::graph:
    case MemoryKind::variable:
    case MemoryKind::managed:
    case MemoryKind::array:
      give_back(*allocation.device, allocation.address, allocation.reserved);
      break;
    case MemoryKind::async:
      allocation.pool->put(allocation.address, allocation.reserved);
      break;
    case MemoryKind::host:
      munmap(reinterpret_cast<void*>(allocation.address), allocation.reserved);
      break;
    case MemoryKind::registered:
    case MemoryKind::mapped:  // its addresses stay reserved; who took it out has unmapped it
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
