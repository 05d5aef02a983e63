#include "executor/vm_arena.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace vgpu::executor {

using protocol::u16;
using protocol::u32;
using protocol::u64;

namespace {
constexpr u64 kGranule = VGPU_ARENA_GRANULE;
constexpr u64 kTableBytes = VGPU_DEVICE_AREA_BYTES - VGPU_GRANULES_OFFSET;
/// Another executor that is about to find out that a granule is not its own holds it for some instructions.
constexpr int kHoldAttempts = 1000;

bool within(u64 start, u64 bytes, u64 length) noexcept { return start <= length && bytes <= length - start; }
}  // namespace

VmArena::~VmArena() {
  if (table_ != nullptr) munmap(table_, kTableBytes);
}

bool VmArena::open(int fd, u64 arena_offset, u64 arena_bytes, u32 channel, std::string& error) {
  if (channel >= VGPU_MAX_CHANNELS || arena_offset % kGranule != 0 || arena_offset < VGPU_CHANNEL_OFFSET(channel + 1) ||
      arena_bytes % kGranule != 0 || arena_bytes / kGranule > VGPU_MAX_GRANULES) {
    error =
        fmt::format("arena of {} bytes at {:#x} for channel {} is not possible", arena_bytes, arena_offset, channel);
    return false;
  }
  void* table = mmap(nullptr, kTableBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, VGPU_GRANULES_OFFSET);
  if (table == MAP_FAILED) {
    error = fmt::format("granule table: mmap: {}", std::strerror(errno));
    return false;
  }
  table_ = static_cast<std::byte*>(table);
  fd_ = fd;
  arena_offset_ = arena_offset;
  arena_bytes_ = arena_bytes;
  owner_ = static_cast<u16>(channel + 1);
  backing_ = std::make_unique<std::atomic<u32>[]>(arena_bytes / kGranule);
  return true;
}

vgpu_granule* VmArena::granules() const noexcept { return reinterpret_cast<vgpu_granule*>(table_); }

bool VmArena::hold(u64 granule) noexcept {
  vgpu_granule& entry = granules()[granule];
  std::atomic_ref owner(entry.owner);
  std::atomic_ref held(entry.held);
  // A granule of somebody else is not touched, and one that is held is not held twice: its holder's mark must stay
  // until that lets go.
  for (int attempt = 0; owner.load(std::memory_order_acquire) == owner_; ++attempt) {
    u16 free = 0;
    if (!held.compare_exchange_strong(free, owner_, std::memory_order_seq_cst)) {
      if (attempt == kHoldAttempts) return false;
      sched_yield();
      continue;
    }
    // The driver clears the owner, fences and looks at `held`: one of the two sees the other's store.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (owner.load(std::memory_order_acquire) == owner_) return true;
    let_go(granule);
    return false;
  }
  return false;
}

void VmArena::let_go(u64 granule) noexcept {
  // Not if it is another executor's by now: the driver cleared our mark and handed the granule on.
  u16 mine = owner_;
  std::atomic_ref(granules()[granule].held).compare_exchange_strong(mine, 0, std::memory_order_release);
}

bool VmArena::reserve(u64 start, u64 bytes) noexcept {
  return mmap(range_ + start, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) !=
         MAP_FAILED;
}

VmArena::Changed VmArena::map(u64 start, u64 bytes, u64 backing) {
  if (backing < arena_offset_ || !within(start, bytes, arena_bytes_) ||
      !within(backing - arena_offset_, bytes, arena_bytes_))
    return Changed::outside;
  if (bytes == 0 || start % kGranule != 0 || bytes % kGranule != 0 || backing % kGranule != 0 || range_ == nullptr)
    return Changed::bad_value;
  const u64 first = start / kGranule;
  const u64 source = (backing - arena_offset_) / kGranule;
  const u64 count = bytes / kGranule;
  std::lock_guard lock(mutex_);
  for (u64 i = 0; i < count; ++i)
    if (backing_[first + i].load(std::memory_order_relaxed) != 0) return Changed::bad_value;
  u64 held = 0;
  while (held < count && hold(source + held)) ++held;
  Changed changed = held == count ? Changed::done : Changed::foreign;
  if (changed == Changed::done && mmap(range_ + start, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd_,
                                       static_cast<off_t>(backing)) == MAP_FAILED)
    changed = Changed::refused;
  if (changed != Changed::done) {
    while (held != 0) let_go(source + --held);
    return changed;
  }
  for (u64 i = 0; i < count; ++i)
    backing_[first + i].store(static_cast<u32>(source + i + 1), std::memory_order_release);
  return Changed::done;
}

VmArena::Changed VmArena::unmap(u64 start, u64 bytes) {
  if (!within(start, bytes, arena_bytes_)) return Changed::outside;
  if (bytes == 0 || start % kGranule != 0 || bytes % kGranule != 0) return Changed::bad_value;
  const u64 first = start / kGranule;
  const u64 count = bytes / kGranule;
  std::lock_guard lock(mutex_);
  if (!covers(start, bytes)) return Changed::bad_value;
  // While any of it may still be mapped here, all of it stays held.
  if (!reserve(start, bytes)) return Changed::refused;
  const bool discarded = discard(start, bytes);
  for (u64 i = 0; i < count; ++i) let_go(backing_[first + i].exchange(0, std::memory_order_acq_rel) - 1);
  return discarded ? Changed::done : Changed::refused;
}

bool VmArena::discard(u64 start, u64 bytes) noexcept {
  bool good = true;
  while (bytes != 0) {
    const u64 within_granule = start % kGranule;
    const u64 piece = std::min(bytes, kGranule - within_granule);
    const u64 granule = backing_[start / kGranule].load(std::memory_order_acquire);
    if (granule == 0) return false;
    const u64 offset = arena_offset_ + (granule - 1) * kGranule + within_granule;
    good = fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                     static_cast<off_t>(piece)) == 0 &&
           good;
    start += piece;
    bytes -= piece;
  }
  return good;
}

}  // namespace vgpu::executor
