#include "executor/region.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

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
}  // namespace

Region::~Region() {
  if (std::byte* arena = arena_.load(); arena != nullptr) munmap(arena, arena_bytes());
  if (base_ != nullptr) munmap(base_, VGPU_ARENA_OFFSET);
  if (fd_ >= 0) close(fd_);
}

bool Region::map(int fd, u64 region_bytes, std::string& error) {
  if (region_bytes < VGPU_ARENA_OFFSET || region_bytes % VGPU_PAGE != 0 || region_bytes > kMaxRegionBytes) {
    error = fmt::format("region of {} bytes is not possible", region_bytes);
    return false;
  }
  struct stat status;
  if (fstat(fd, &status) != 0) {
    error = fmt::format("region: {}", std::strerror(errno));
    return false;
  }
  // Pages behind the file's end would be deadly to touch.
  if (static_cast<u64>(status.st_size) < region_bytes) {
    error = fmt::format("region has {} bytes instead of {}", status.st_size, region_bytes);
    return false;
  }
  void* base = mmap(nullptr, VGPU_ARENA_OFFSET, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) {
    error = fmt::format("region: mmap: {}", std::strerror(errno));
    return false;
  }
  base_ = static_cast<std::byte*>(base);
  bytes_ = region_bytes;
  fd_ = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  return true;
}

Region::Arena Region::map_arena(u64 address) {
  const u64 bytes = arena_bytes();
  if (address == 0) {
    void* anywhere =
        bytes == 0 ? MAP_FAILED
                   : mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd_, VGPU_ARENA_OFFSET);
    if (anywhere == MAP_FAILED) return Arena::bad_address;
    arena_.store(static_cast<std::byte*>(anywhere), std::memory_order_release);
    return Arena::mapped;
  }
  if (bytes == 0 || address % VGPU_PAGE != 0 || address < kLowestArena || address >= kHighestArena ||
      bytes > kHighestArena - address)
    return Arena::bad_address;
  void* wanted = reinterpret_cast<void*>(address);
  void* got = mmap(wanted, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_NORESERVE, fd_,
                   VGPU_ARENA_OFFSET);
  if (got == MAP_FAILED) return Arena::taken;
  if (got != wanted) {  // a kernel older than 4.17 takes the address as a mere hint
    munmap(got, bytes);
    return Arena::taken;
  }
  arena_.store(static_cast<std::byte*>(got), std::memory_order_release);
  return Arena::mapped;
}

u64 Region::arena_address() const noexcept { return reinterpret_cast<u64>(arena_.load(std::memory_order_acquire)); }

std::byte* Region::span(Offset offset, u64 bytes) const noexcept {
  const u64 start = static_cast<u64>(offset);
  constexpr u64 kStagingEnd = u64{VGPU_STAGING_OFFSET} + VGPU_STAGING_BYTES;
  if (start >= VGPU_STAGING_OFFSET && start <= kStagingEnd)
    return bytes <= kStagingEnd - start ? base_ + start : nullptr;
  if (start < VGPU_ARENA_OFFSET || start > bytes_ || bytes > bytes_ - start) return nullptr;
  std::byte* arena = arena_.load(std::memory_order_acquire);
  return arena != nullptr ? arena + (start - VGPU_ARENA_OFFSET) : nullptr;
}

bool Region::discard(Offset offset, u64 bytes) noexcept {
  return fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                   static_cast<off_t>(bytes)) == 0;
}

}  // namespace vgpu::executor
