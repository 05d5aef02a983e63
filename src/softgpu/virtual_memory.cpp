#include "softgpu/virtual_memory.hpp"

#include <sys/mman.h>

#include <iterator>

#include "softgpu/address_map.hpp"
#include "softgpu/driver.hpp"

namespace vgpu::softgpu {
namespace {

constexpr std::uint64_t kGranule = PhysicalMemory::kGranularity;
static_assert(kGranule == std::uint64_t{1} << AddressMap::kWindowShift);
constexpr std::uint64_t kEnd = AddressMap::kWindowBase + AddressMap::kWindowBytes;

/// Puts empty memory at addresses, in place of what is there if `replace`.
bool put_zeroes(std::uint64_t address, std::uint64_t bytes, bool replace) noexcept {
  void* wanted = reinterpret_cast<void*>(address);
  void* got = mmap(wanted, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (replace ? MAP_FIXED : MAP_FIXED_NOREPLACE), -1, 0);
  if (got == MAP_FAILED) return false;
  if (got != wanted) {  // a kernel that doesn't know MAP_FIXED_NOREPLACE
    munmap(got, bytes);
    return false;
  }
  return true;
}

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t to) noexcept { return (value + to - 1) / to * to; }

}  // namespace

bool VirtualMemory::take_addresses(std::uint64_t address, std::uint64_t bytes) {
  if (address < AddressMap::kWindowBase || address > kEnd || bytes > kEnd - address) return false;
  const auto next = reservations_.lower_bound(address);
  if (next != reservations_.end() && next->first - address < bytes) return false;
  if (next != reservations_.begin()) {
    const auto before = std::prev(next);
    if (address - before->first < before->second.bytes) return false;
  }
  if (!put_zeroes(address, bytes, false)) return false;
  reservations_[address] = {bytes, std::vector<std::uint64_t>(bytes / kGranule, 0)};
  return true;
}

std::uint64_t VirtualMemory::reserve(std::uint64_t bytes, std::uint64_t alignment, std::uint64_t wanted) {
  if (bytes > AddressMap::kWindowBytes || alignment > AddressMap::kWindowBytes) return 0;
  const std::uint64_t step = alignment > kGranule ? alignment : kGranule;
  const std::lock_guard lock(mutex_);
  if (wanted != 0 && wanted % step == 0 && take_addresses(wanted, bytes)) return wanted;
  // The first gap that is large enough.
  std::uint64_t at = round_up(AddressMap::kWindowBase, step);
  for (auto it = reservations_.begin(); it != reservations_.end(); ++it) {
    if (it->first >= at && it->first - at >= bytes) break;
    const std::uint64_t end = it->first + it->second.bytes;
    if (end > at) at = round_up(end, step);
  }
  return take_addresses(at, bytes) ? at : 0;
}

CUresult VirtualMemory::free(std::uint64_t address, std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  const auto found = reservations_.find(address);
  if (found == reservations_.end() || found->second.bytes != bytes) return CUDA_ERROR_INVALID_VALUE;
  const auto mapping = mappings_.lower_bound(address);
  if (mapping != mappings_.end() && mapping->first - address < bytes) return CUDA_ERROR_INVALID_VALUE;
  reservations_.erase(found);
  munmap(reinterpret_cast<void*>(address), bytes);
  return CUDA_SUCCESS;
}

std::map<std::uint64_t, VirtualMemory::Reservation>::iterator VirtualMemory::holder(std::uint64_t address,
                                                                                    std::uint64_t bytes) {
  auto next = reservations_.upper_bound(address);
  if (next == reservations_.begin()) return reservations_.end();
  --next;
  const std::uint64_t offset = address - next->first;
  return offset < next->second.bytes && bytes <= next->second.bytes - offset ? next : reservations_.end();
}

CUresult VirtualMemory::map(std::uint64_t address, const std::shared_ptr<PhysicalMemory>& memory) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t bytes = memory->bytes();
  if (address % kGranule != 0 || holder(address, bytes) == reservations_.end()) return CUDA_ERROR_INVALID_VALUE;
  Allocation allocation;
  allocation.address = address;
  allocation.bytes = bytes;
  allocation.reserved = bytes;
  allocation.kind = MemoryKind::mapped;
  allocation.device = &memory->device();
  allocation.physical = memory;
  if (!memory_.enter(std::move(allocation))) return CUDA_ERROR_INVALID_VALUE;  // something is mapped there
  void* got =
      mmap(reinterpret_cast<void*>(address), bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memory->file(), 0);
  if (got == MAP_FAILED) {
    memory_.take(address, [](const Allocation&) { return true; });
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  madvise(got, bytes, MADV_DONTDUMP);
  mappings_[address] = bytes;
  return CUDA_SUCCESS;
}

std::vector<std::uint64_t> VirtualMemory::mappings_in(std::uint64_t address, std::uint64_t bytes) const {
  std::vector<std::uint64_t> found;
  std::uint64_t at = address;
  for (auto it = mappings_.find(address); at - address < bytes; ++it) {
    if (it == mappings_.end() || it->first != at || it->second > bytes - (at - address)) return {};
    found.push_back(at);
    at += it->second;
  }
  return found;
}

CUresult VirtualMemory::unmap(std::uint64_t address, std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  const auto found = mappings_in(address, bytes);
  const auto reservation = holder(address, bytes);
  if (found.empty() || reservation == reservations_.end()) return CUDA_ERROR_INVALID_VALUE;
  for (const std::uint64_t mapping : found) {
    // Out of the table first, then out of the address map, then the memory itself.
    const auto taken = memory_.take(mapping, [](const Allocation& it) { return it.kind == MemoryKind::mapped; });
    put_zeroes(mapping, mappings_[mapping], true);
    mappings_.erase(mapping);
    static_cast<void>(taken);  // with it goes the mapping's hold on the physical memory
  }
  const std::uint64_t first = (address - reservation->first) / kGranule;
  for (std::uint64_t i = first; i < first + bytes / kGranule; ++i) reservation->second.access[i] = 0;
  return CUDA_SUCCESS;
}

CUresult VirtualMemory::set_access(std::uint64_t address, std::uint64_t bytes, int device, bool accessible) {
  const std::lock_guard lock(mutex_);
  const auto reservation = holder(address, bytes);
  if (reservation == reservations_.end()) return CUDA_ERROR_INVALID_VALUE;
  // Mapped from the first to the last byte, though the range may begin and end inside mappings.
  auto mapping = mappings_.upper_bound(address);
  if (mapping == mappings_.begin()) return CUDA_ERROR_INVALID_VALUE;
  --mapping;
  std::uint64_t covered = mapping->first + mapping->second;
  while (covered > address && covered - address < bytes && ++mapping != mappings_.end() && mapping->first == covered) {
    covered += mapping->second;
  }
  if (covered <= address || covered - address < bytes) return CUDA_ERROR_INVALID_VALUE;
  const std::uint64_t bit = std::uint64_t{1} << (static_cast<unsigned>(device) & 63);
  const std::uint64_t first = (address - reservation->first) / kGranule;
  auto& access = reservation->second.access;
  for (std::uint64_t i = first; i < first + bytes / kGranule; ++i) {
    access[i] = accessible ? access[i] | bit : access[i] & ~bit;
    // Copies may use what any device may use.
    memory_.set_accessible(driver().device(device), reservation->first + i * kGranule, kGranule, accessible,
                           access[i] != 0);
  }
  return CUDA_SUCCESS;
}

CUresult VirtualMemory::get_access(std::uint64_t address, int device, bool& accessible) const {
  const std::lock_guard lock(mutex_);
  const auto reservation = const_cast<VirtualMemory*>(this)->holder(address, 1);
  if (reservation == reservations_.end()) return CUDA_ERROR_INVALID_VALUE;
  const std::uint64_t granule = (address - reservation->first) / kGranule;
  accessible = (reservation->second.access[granule] >> (static_cast<unsigned>(device) & 63) & 1) != 0;
  return CUDA_SUCCESS;
}

}  // namespace vgpu::softgpu
