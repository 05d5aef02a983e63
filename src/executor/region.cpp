#include "executor/region.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace vgpu::executor {

using protocol::Offset;
using protocol::u64;

namespace {
// The protocol lets the guest choose any address that both sides can have: above what 32-bit code and low libraries
// use, below the end of the user half.
constexpr u64 kLowestArena = u64{1} << 32;
constexpr u64 kHighestArena = u64{1} << 47;
constexpr u64 kMaxRegionBytes = u64{1} << 46;
constexpr u64 kChannelBytes = VGPU_CHANNEL_BYTES;
}  // namespace

Region::~Region() {
  if (std::byte* arena = arena_.load(); arena != nullptr) munmap(arena, arena_bytes());
  if (base_ != nullptr) munmap(base_, kChannelBytes);
  if (fd_ >= 0) close(fd_);
}

bool Region::map(int fd, u64 region_bytes, const Place& place, std::string& error) {
  if (region_bytes < VGPU_ARENA_OFFSET || region_bytes % VGPU_PAGE != 0 || region_bytes > kMaxRegionBytes ||
      place.channel_offset % VGPU_PAGE != 0 || place.channel_offset > kMaxRegionBytes ||
      place.arena_offset > kMaxRegionBytes) {
    error = fmt::format("region of {} bytes at {:#x} is not possible", region_bytes, place.channel_offset);
    return false;
  }
  const u64 arena_bytes = region_bytes - VGPU_ARENA_OFFSET;
  struct stat status;
  if (fstat(fd, &status) != 0) {
    error = fmt::format("region: {}", std::strerror(errno));
    return false;
  }
  // Pages behind the file's end would be deadly to touch.
  const u64 needed = place.in_vm ? std::max(place.channel_offset + kChannelBytes, place.arena_offset + arena_bytes)
                                 : place.channel_offset + region_bytes;
  if (static_cast<u64>(status.st_size) < needed) {
    error = fmt::format("region has {} bytes instead of {}", status.st_size, needed);
    return false;
  }
  void* base =
      mmap(nullptr, kChannelBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, static_cast<off_t>(place.channel_offset));
  if (base == MAP_FAILED) {
    error = fmt::format("region: mmap: {}", std::strerror(errno));
    return false;
  }
  base_ = static_cast<std::byte*>(base);
  bytes_ = region_bytes;
  place_ = place;
  fd_ = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  return !place.in_vm || vm_arena_.open(fd_, place.arena_offset, arena_bytes, place.channel, error);
}

Region::Arena Region::map_arena(u64 address) {
  const u64 bytes = arena_bytes();
  if (bytes == 0) return Arena::bad_address;
  if (address != 0 && (address % VGPU_PAGE != 0 || address < kLowestArena || address >= kHighestArena ||
                       bytes > kHighestArena - address))
    return Arena::bad_address;
  void* wanted = reinterpret_cast<void*>(address);
  const int fixed = address != 0 ? MAP_FIXED_NOREPLACE : 0;
  void* got = in_vm() ? mmap(wanted, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | fixed, -1, 0)
                      : mmap(wanted, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | fixed, fd_,
                             static_cast<off_t>(place_.channel_offset + VGPU_ARENA_OFFSET));
  if (got == MAP_FAILED) return address != 0 ? Arena::taken : Arena::bad_address;
  if (address != 0 && got != wanted) {  // a kernel older than 4.17 takes the address as a mere hint
    munmap(got, bytes);
    return Arena::taken;
  }
  vm_arena_.place(static_cast<std::byte*>(got));
  arena_.store(static_cast<std::byte*>(got), std::memory_order_release);
  return Arena::mapped;
}

VmArena::Changed Region::map_extent(Offset offset, u64 bytes, u64 backing) {
  const u64 start = static_cast<u64>(offset);
  if (start < VGPU_ARENA_OFFSET) return VmArena::Changed::outside;
  return vm_arena_.map(start - VGPU_ARENA_OFFSET, bytes, backing);
}

VmArena::Changed Region::unmap_extent(Offset offset, u64 bytes) {
  const u64 start = static_cast<u64>(offset);
  if (start < VGPU_ARENA_OFFSET) return VmArena::Changed::outside;
  return vm_arena_.unmap(start - VGPU_ARENA_OFFSET, bytes);
}

u64 Region::arena_address() const noexcept { return reinterpret_cast<u64>(arena_.load(std::memory_order_acquire)); }

std::byte* Region::span(Offset offset, u64 bytes) const noexcept {
  const u64 start = static_cast<u64>(offset);
  constexpr u64 kStagingEnd = u64{VGPU_STAGING_OFFSET} + VGPU_STAGING_BYTES;
  if (start >= VGPU_STAGING_OFFSET && start <= kStagingEnd)
    return bytes <= kStagingEnd - start ? base_ + start : nullptr;
  if (start < VGPU_ARENA_OFFSET || start > bytes_ || bytes > bytes_ - start) return nullptr;
  std::byte* arena = arena_.load(std::memory_order_acquire);
  if (arena == nullptr || (in_vm() && !vm_arena_.covers(start - VGPU_ARENA_OFFSET, bytes))) return nullptr;
  return arena + (start - VGPU_ARENA_OFFSET);
}

bool Region::arena_offset(const void* address, Offset& offset) const noexcept {
  const u64 at = reinterpret_cast<u64>(address) - arena_address();
  if (!has_arena() || at >= arena_bytes()) return false;
  offset = Offset{VGPU_ARENA_OFFSET + at};
  return true;
}

bool Region::discard(Offset offset, u64 bytes) noexcept {
  if (in_vm()) return vm_arena_.discard(static_cast<u64>(offset) - VGPU_ARENA_OFFSET, bytes);
  return fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                   static_cast<off_t>(place_.channel_offset + static_cast<u64>(offset)),
                   static_cast<off_t>(bytes)) == 0;
}

}  // namespace vgpu::executor
