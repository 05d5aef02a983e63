#pragma once
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>

#include "protocol/device.h"
#include "protocol/types.hpp"

namespace vgpu::executor {

/// The arena of a session in a VM: a reserved range of addresses, into which granules of the VM's memory are mapped as
/// the guest asks for them. Which channel owns a granule stands in a table that guest's driver, daemon and executors
/// share (device.h); the guest writes it at any time.
class VmArena {
 public:
  VmArena() = default;
  ~VmArena();
  VmArena(const VmArena&) = delete;
  VmArena& operator=(const VmArena&) = delete;

  /// Maps the granule table of `fd` (not taken over; as long as this lives), whose length the caller has checked
  /// against all of this. False: `error` says why. Once.
  bool open(int fd, protocol::u64 arena_offset, protocol::u64 arena_bytes, protocol::u32 channel, std::string& error);
  bool is_open() const noexcept { return table_ != nullptr; }
  /// Where the reserved range lies. Once, before any of what follows.
  void place(std::byte* range) noexcept { range_ = range; }

  enum class Changed {
    done,
    bad_value,  ///< not granules, mapped already, or not wholly mapped
    outside,    ///< leads out of the arena
    foreign,    ///< a granule that is not the channel's, or lies here already
    refused,    ///< by the kernel
  };
  /// Maps `bytes` bytes at `start` of the arena to those at `backing` of the VM's memory. All or nothing. Any thread.
  Changed map(protocol::u64 start, protocol::u64 bytes, protocol::u64 backing);
  /// Takes mapped granules out and gives their memory back to the system. The caller sees to it that nothing of the
  /// host uses them. Any thread.
  Changed unmap(protocol::u64 start, protocol::u64 bytes);

  /// True if all of it is mapped; it lies within the arena. Any thread.
  bool covers(protocol::u64 start, protocol::u64 bytes) const noexcept {
    if (bytes == 0) return true;
    const protocol::u64 end = (start + bytes - 1) / VGPU_ARENA_GRANULE;
    for (protocol::u64 i = start / VGPU_ARENA_GRANULE; i <= end; ++i)
      if (backing_[i].load(std::memory_order_acquire) == 0) return false;
    return true;
  }
  /// Makes whole pages that are mapped read as zeros and gives their memory back. False: the kernel refused.
  bool discard(protocol::u64 start, protocol::u64 bytes) noexcept;

 private:
  bool hold(protocol::u64 granule) noexcept;
  void let_go(protocol::u64 granule) noexcept;
  bool reserve(protocol::u64 start, protocol::u64 bytes) noexcept;
  vgpu_granule* granules() const noexcept;

  int fd_ = -1;
  protocol::u64 arena_offset_ = 0;
  protocol::u64 arena_bytes_ = 0;
  protocol::u16 owner_ = 0;
  std::byte* table_ = nullptr;
  std::byte* range_ = nullptr;
  std::mutex mutex_;                                       ///< of what is mapped
  std::unique_ptr<std::atomic<protocol::u32>[]> backing_;  ///< for each granule of the range: the arena's + 1, or 0
};

}  // namespace vgpu::executor
