#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <vector>

#include "softgpu/address_map.hpp"
#include "softgpu/driver_api.hpp"
#include "softgpu/heap.hpp"

namespace vgpu {
class ManagedRanges;
}

namespace vgpu::softgpu {

class Context;
class Device;
class MemoryPool;
class PhysicalMemory;

enum class MemoryKind {
  device,      ///< cuMemAlloc
  async,       ///< cuMemAllocAsync, from a pool
  graph,       ///< of a graph's allocation node
  managed,     ///< cuMemAllocManaged
  mapped,      ///< cuMemMap: in the window of virtual memory, accessible only after cuMemSetAccess
  array,       ///< what a CUarray lies in
  variable,    ///< a module's variable
  host,        ///< cuMemHostAlloc
  registered,  ///< cuMemHostRegister
};

struct Allocation {
  std::uint64_t address = 0;
  std::uint64_t bytes = 0;     ///< as asked for
  std::uint64_t reserved = 0;  ///< bytes taken from the heap, or mapped
  MemoryKind kind = MemoryKind::device;
  unsigned flags = 0;  ///< of host memory, as cuMemHostGetFlags gives them
  std::uint64_t id = 0;
  Context* context = nullptr;
  Device* device = nullptr;          ///< that holds it; of host memory that of its context. enter() takes the context's
  std::shared_ptr<MemoryPool> pool;  ///< async only
  std::shared_ptr<ManagedRanges> managed;    ///< managed memory and managed variables only
  std::shared_ptr<PhysicalMemory> physical;  ///< mapped only
  bool freeing = false;                      ///< cuMemFreeAsync was called, its turn has not come

  bool on_device() const noexcept { return kind != MemoryKind::host && kind != MemoryKind::registered; }
};

/// All memory that kernels and copies may use: the device heap and the table of allocations, with the address map kept
/// in step. Thread-safe.
class Memory {
 public:
  Memory(std::uint64_t total_bytes, unsigned devices);

  /// All that is allocated.
  const AddressMap& map() const noexcept { return map_; }
  /// What the kernels of a device may touch: host memory, its own, and what other devices opened to it.
  const AddressMap& map_of(const Device& device) const noexcept;
  /// Opens the memory of `peer`, but that of pools, to the kernels of `device`, or closes it. Calls are counted.
  void set_peer_access(const Device& device, const Device& peer, bool open);
  /// Opens a pool's memory to the kernels of another device, or closes it.
  void set_pool_access(MemoryPool& pool, const Device& device, bool open);

  /// Takes memory of a device from the heap, without making it accessible; nothing if there is not enough. It is zero.
  std::optional<std::uint64_t> reserve(Device& device, std::uint64_t bytes);
  /// Zeroes and gives back what reserve() gave.
  void give_back(Device& device, std::uint64_t address, std::uint64_t reserved) noexcept;
  /// Enters an allocation and makes it accessible. False if that is not possible: it overlaps another one, or the
  /// table of host ranges is full. Sets `id`.
  bool enter(Allocation allocation);
  /// Takes an allocation out, if there is one that begins there and `allowed` says yes; its memory is then the
  /// caller's.
  std::optional<Allocation> take(std::uint64_t address, const std::function<bool(const Allocation&)>& allowed);
  /// Memory of the context's device in one step; 0 if there is not enough.
  std::uint64_t allocate(Context& context, std::uint64_t bytes, MemoryKind kind, bool managed = false);
  /// What cuMemSetAccess says of a part of the window for virtual memory: for the kernels of one device, and for
  /// copies, which may use what any device may.
  void set_accessible(const Device& device, std::uint64_t address, std::uint64_t bytes, bool accessible, bool by_any);
  /// Frees an allocation of any kind that was taken out.
  void dispose(const Allocation& allocation) noexcept;
  /// Frees all that belongs to a context.
  void free_all_of(const Context& context);

  /// The allocation that holds the address.
  std::optional<Allocation> find(std::uint64_t address) const;
  /// True if the range touches an entered allocation.
  bool overlaps(std::uint64_t address, std::uint64_t bytes) const;
  /// Marks an async allocation as being freed; false if there is none that begins there or it is being freed already.
  bool begin_free(std::uint64_t address, std::shared_ptr<MemoryPool>& pool);

 private:
  bool visible(const Allocation& allocation, std::size_t device) const;
  bool mark(const Allocation& allocation, bool accessible);
  template <class Predicate>
  void mark_again(std::size_t device, Predicate concerned);
  std::map<std::uint64_t, Allocation>::const_iterator holder(std::uint64_t address) const;

  mutable std::shared_mutex mutex_;
  AddressMap map_;
  std::vector<std::unique_ptr<AddressMap>> device_maps_;  // by ordinal; none where there is one device
  std::vector<std::vector<unsigned>> opened_;             // by device and peer: how many contexts opened it
  Heap heap_;
  std::map<std::uint64_t, Allocation> allocations_;
  std::uint64_t next_id_ = 1;
};

/// Memory of the context's device; before it fails, the pools give up what they keep and what is being freed is waited
/// for. 0 if there is not enough.
std::uint64_t allocate_device_memory(Context& context, std::uint64_t bytes, MemoryKind kind);

}  // namespace vgpu::softgpu
