#include "softgpu/heap.hpp"

#include <sys/mman.h>

#include <cstring>
#include <new>

#include "softgpu/address_map.hpp"

namespace vgpu::softgpu {
namespace {

constexpr std::uint64_t kGranule = std::uint64_t{1} << AddressMap::kGranuleShift;
constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kLarge = 16 * kPage;

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t to) noexcept { return (value + to - 1) / to * to; }

}  // namespace

Heap::Heap(std::uint64_t bytes) : total_(bytes / kPage * kPage) {
  if (total_ > AddressMap::kHeapBytes) total_ = AddressMap::kHeapBytes;
  void* wanted = reinterpret_cast<void*>(AddressMap::kHeapBase);
  void* got = mmap(wanted, total_, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  if (got == MAP_FAILED) throw std::bad_alloc();
  if (got != wanted) {  // a kernel that doesn't know MAP_FIXED_NOREPLACE
    munmap(got, total_);
    throw std::bad_alloc();
  }
  madvise(got, total_, MADV_DONTDUMP);
  add_free(AddressMap::kHeapBase, total_);
}

Heap::~Heap() { munmap(reinterpret_cast<void*>(AddressMap::kHeapBase), total_); }

std::uint64_t Heap::rounded(std::uint64_t bytes) noexcept {
  if (bytes > AddressMap::kHeapBytes) return 0;
  return round_up(bytes, bytes >= kLarge ? kPage : kGranule);
}

std::optional<std::uint64_t> Heap::reserve(std::uint64_t bytes) {
  const std::uint64_t size = rounded(bytes);
  if (size == 0) return std::nullopt;
  const std::uint64_t alignment = size >= kLarge ? kPage : kGranule;
  for (auto it = free_sizes_.lower_bound({size, 0}); it != free_sizes_.end(); ++it) {
    const auto [range_bytes, range] = *it;
    const std::uint64_t address = round_up(range, alignment);
    const std::uint64_t gap = address - range;
    if (gap > range_bytes - size) continue;
    remove_free(free_.find(range));
    if (gap != 0) add_free(range, gap);
    if (range_bytes - gap - size != 0) add_free(address + size, range_bytes - gap - size);
    used_ += size;
    return address;
  }
  return std::nullopt;
}

void Heap::clear(std::uint64_t address, std::uint64_t bytes) noexcept {
  const auto zero = [](std::uint64_t from, std::uint64_t to) {
    if (to > from) std::memset(reinterpret_cast<void*>(from), 0, to - from);
  };
  const std::uint64_t end = address + bytes;
  const std::uint64_t first_page = round_up(address, kPage);
  const std::uint64_t last_page = end / kPage * kPage;
  if (first_page >= last_page) {
    zero(address, end);
    return;
  }
  zero(address, first_page);
  if (madvise(reinterpret_cast<void*>(first_page), last_page - first_page, MADV_DONTNEED) != 0)
    zero(first_page, last_page);
  zero(last_page, end);
}

void Heap::release(std::uint64_t address, std::uint64_t bytes) {
  used_ -= bytes;
  const auto next = free_.lower_bound(address);
  if (next != free_.end() && next->first == address + bytes) {
    bytes += next->second;
    remove_free(next);
  }
  const auto after = free_.lower_bound(address);
  if (after != free_.begin()) {
    const auto before = std::prev(after);
    if (before->first + before->second == address) {
      address = before->first;
      bytes += before->second;
      remove_free(before);
    }
  }
  add_free(address, bytes);
}

void Heap::add_free(std::uint64_t address, std::uint64_t bytes) {
  free_.emplace(address, bytes);
  free_sizes_.emplace(bytes, address);
}

void Heap::remove_free(std::map<std::uint64_t, std::uint64_t>::iterator range) {
  free_sizes_.erase({range->second, range->first});
  free_.erase(range);
}

}  // namespace vgpu::softgpu
