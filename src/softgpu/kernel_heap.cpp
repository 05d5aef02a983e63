#include "softgpu/kernel_heap.hpp"

#include <algorithm>
#include <bit>
#include <new>

namespace vgpu::softgpu {
namespace {

constexpr std::uint64_t kGranule = 16;  ///< what malloc promises as alignment

}  // namespace

KernelHeap::KernelHeap(std::uint64_t base, std::uint64_t bytes) : total_(bytes / kGranule * kGranule) {
  if (total_ != 0) add_free(base, total_);
}

void KernelHeap::add_free(std::uint64_t address, std::uint64_t bytes) {
  free_.emplace(address, bytes);
  free_sizes_.emplace(bytes, address);
}

void KernelHeap::remove_free(std::map<std::uint64_t, std::uint64_t>::iterator range) {
  free_sizes_.erase({range->second, range->first});
  free_.erase(range);
}

std::uint64_t KernelHeap::allocate(std::uint64_t bytes, std::uint64_t align) noexcept {
  if (bytes > total_ || !std::has_single_bit(align) || align > total_) return 0;
  const std::uint64_t need = std::max<std::uint64_t>((bytes + kGranule - 1) / kGranule * kGranule, kGranule);
  align = std::max(align, kGranule);
  try {
    const std::lock_guard lock(mutex_);
    // The smallest range that holds it wherever it begins; a larger alignment may need to look further.
    for (auto it = free_sizes_.lower_bound({need, 0}); it != free_sizes_.end(); ++it) {
      const auto [size, begin] = *it;
      const std::uint64_t at = (begin + align - 1) / align * align;
      if (at - begin > size - need) continue;
      held_.emplace(at, need);
      remove_free(free_.find(begin));
      if (at != begin) add_free(begin, at - begin);
      if (begin + size != at + need) add_free(at + need, begin + size - at - need);
      return at;
    }
  } catch (const std::bad_alloc&) {
    // The host has no room to write it down: the kernel gets none either.
  }
  return 0;
}

bool KernelHeap::release(std::uint64_t address) noexcept {
  try {
    const std::lock_guard lock(mutex_);
    const auto held = held_.find(address);
    if (held == held_.end()) return false;
    std::uint64_t begin = address;
    std::uint64_t end = address + held->second;
    held_.erase(held);
    auto next = free_.lower_bound(begin);
    if (next != free_.end() && next->first == end) {
      end += next->second;
      const auto gone = next++;
      remove_free(gone);
    }
    if (next != free_.begin()) {
      const auto before = std::prev(next);
      if (before->first + before->second == begin) {
        begin = before->first;
        remove_free(before);
      }
    }
    add_free(begin, end - begin);
  } catch (const std::bad_alloc&) {
    // The stretch is lost to the heap, no more.
  }
  return true;
}

}  // namespace vgpu::softgpu
