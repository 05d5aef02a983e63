#pragma once
#include <atomic>
#include <cstddef>
#include <string>

#include "executor/vm_arena.hpp"
#include "protocol/layout.h"
#include "protocol/types.hpp"

namespace vgpu::executor {

/// The session's shared memory, as this process maps it. All sizes come from the daemon, never from the control page.
/// The guest writes all of it at any time.
class Region {
 public:
  Region() = default;
  ~Region();
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  /// Where the session's shared memory lies in the memfd (executor_link.hpp).
  struct Place {
    protocol::u64 channel_offset = 0;
    bool in_vm = false;
    protocol::u64 arena_offset = 0;  ///< in a VM
    protocol::u32 channel = 0;       ///< in a VM
  };

  /// Maps control page, slots, ring and staging area of `fd` (not taken over), and in a VM the granule table. False:
  /// `error` says why. Once.
  bool map(int fd, protocol::u64 region_bytes, const Place& place, std::string& error);

  enum class Arena { mapped, bad_address, taken };
  /// Maps the arena at the guest's address: page-aligned, within [1 << 32, 1 << 47). taken: something of this process
  /// lies there already. 0: at any place; offsets mean the same, addresses do not. In a VM the range is only reserved:
  /// map_extent() fills it. Once; the thread that reads the ring.
  Arena map_arena(protocol::u64 address);
  bool has_arena() const noexcept { return arena_.load(std::memory_order_acquire) != nullptr; }
  protocol::u64 arena_address() const noexcept;
  protocol::u64 arena_bytes() const noexcept { return bytes_ - VGPU_ARENA_OFFSET; }

  bool in_vm() const noexcept { return vm_arena_.is_open(); }
  /// In a VM: maps granules of its memory at `offset` of the region, takes them out again. Any thread.
  VmArena::Changed map_extent(protocol::Offset offset, protocol::u64 bytes, protocol::u64 backing);
  VmArena::Changed unmap_extent(protocol::Offset offset, protocol::u64 bytes);

  /// Where `bytes` bytes at `offset` lie, or null if they are not wholly within the staging area or wholly within the
  /// mapped arena. Any thread.
  std::byte* span(protocol::Offset offset, protocol::u64 bytes) const noexcept;

  /// The offset of an address in the mapped arena; false if it lies elsewhere. Any thread.
  bool arena_offset(const void* address, protocol::Offset& offset) const noexcept;

  /// Makes whole pages of the mapped arena read as zeros and gives their memory back. False: the kernel refused.
  bool discard(protocol::Offset offset, protocol::u64 bytes) noexcept;

  vgpu_control* control() const noexcept { return reinterpret_cast<vgpu_control*>(base_ + VGPU_CONTROL_OFFSET); }
  vgpu_slot* slots() const noexcept { return reinterpret_cast<vgpu_slot*>(base_ + VGPU_SLOTS_OFFSET); }
  const std::byte* ring() const noexcept { return base_ + VGPU_RING_OFFSET; }
  std::byte* staging() const noexcept { return base_ + VGPU_STAGING_OFFSET; }

 private:
  int fd_ = -1;
  protocol::u64 bytes_ = 0;
  Place place_;
  std::byte* base_ = nullptr;
  VmArena vm_arena_;
  std::atomic<std::byte*> arena_{nullptr};
};

}  // namespace vgpu::executor
