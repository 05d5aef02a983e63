#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "shim/allocations.hpp"
#include "shim/arena_backing.hpp"
#include "shim/channel.hpp"
#include "shim/range_allocator.hpp"

/// The arena: pinned memory at one address on both sides, and room for images that are too large for the staging area.
namespace vgpu::shim {

struct Context;

class HostMemory {
 public:
  /// Requests up to this many bytes share a registered granule with others.
  static constexpr u64 kSmallBytes = 256u << 10;

  explicit HostMemory(Channel& channel)
      : channel_(channel), extents_(channel.arena_bytes(), VGPU_ARENA_GRANULE), backing_(channel) {}

  /// Pinned memory for `context`, described in `made` (not yet in the map of allocations).
  CUresult allocate(const Context& context, u64 bytes, u32 flags, Allocation& made);
  /// Gives back what allocate() made.
  CUresult free(const Context& context, const Allocation& allocation);
  /// Gives back everything of a context that is about to go; `allocations` are its entries of the map.
  void release_context(const Context& context, const std::vector<Allocation>& allocations);

  /// Room for a transfer, not registered with the GPU; null if the arena is full.
  std::byte* take_extent(u64 bytes);
  /// Gives it back, and its memory to the system.
  void give_extent(std::byte* extent, u64 bytes);

  /// True if [address, address + bytes) lies in the arena.
  bool contains(const void* address, u64 bytes) const noexcept {
    const u64 at = reinterpret_cast<u64>(address) - reinterpret_cast<u64>(channel_.arena());
    return at < channel_.arena_bytes() && bytes <= channel_.arena_bytes() - at;
  }
  /// Where it lies in the region.
  Offset offset(const void* address) const noexcept {
    return Offset{VGPU_ARENA_OFFSET + (reinterpret_cast<u64>(address) - reinterpret_cast<u64>(channel_.arena()))};
  }

 private:
  /// One registered granule that small requests share. Registered for all contexts, mapped for the GPU.
  struct Slab {
    RangeAllocator ranges;
    u64 context;
    u64 device_base;
  };
  static constexpr u64 kSlabBytes = VGPU_ARENA_GRANULE;
  static constexpr u64 kSmallGranule = 512;

  /// A range of the arena with memory behind it.
  std::optional<u64> take(u64 bytes);
  void give(u64 start, u64 bytes);
  std::byte* at(u64 start) const noexcept { return channel_.arena() + start; }
  bool carve(const Context& context, u64 bytes, u32 flags, Allocation& made);
  CUresult register_extent(const Context& context, u64 start, u64 bytes, u32 flags, u64& device_base);

  Channel& channel_;
  std::mutex mutex_;
  RangeAllocator extents_;
  ArenaBacking backing_;
  std::map<u64, std::unique_ptr<Slab>> slabs_;  ///< by address
};

}  // namespace vgpu::shim
