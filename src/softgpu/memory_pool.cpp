#include "softgpu/memory_pool.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "softgpu/device.hpp"
#include "softgpu/heap.hpp"
#include "softgpu/memory.hpp"

namespace vgpu::softgpu {

MemoryPool::MemoryPool(Memory& memory, Device& device, std::uint64_t max_bytes)
    : memory_(memory), device_(device), open_(1u << device.ordinal), max_bytes_(max_bytes) {}

MemoryPool::~MemoryPool() { trim(0); }

void MemoryPool::open_to(std::size_t ordinal, bool open) noexcept {
  const std::uint32_t bit = 1u << ordinal;
  if (open) {
    open_.fetch_or(bit, std::memory_order_relaxed);
  } else {
    open_.fetch_and(~bit, std::memory_order_relaxed);
  }
}

MemoryPool::Range MemoryPool::get(std::uint64_t bytes) {
  const std::uint64_t wanted = Heap::rounded(bytes);
  if (wanted == 0) return {};
  const std::lock_guard lock(mutex_);
  const auto found = kept_.lower_bound(wanted);
  // A much larger kept range is left for a larger request.
  if (found != kept_.end() && found->first <= wanted + wanted / 8) {
    const Range range{found->second, found->first};
    kept_.erase(found);
    used_ += range.reserved;
    used_high_ = std::max(used_high_, used_);
    return range;
  }
  if (max_bytes_ != 0 && reserved_ + wanted > max_bytes_) return {};
  const auto address = memory_.reserve(device_, bytes);
  if (!address) return {};
  reserved_ += wanted;
  reserved_high_ = std::max(reserved_high_, reserved_);
  used_ += wanted;
  used_high_ = std::max(used_high_, used_);
  return {*address, wanted};
}

void MemoryPool::put(std::uint64_t address, std::uint64_t reserved) noexcept {
  const std::lock_guard lock(mutex_);
  kept_.emplace(reserved, address);
  used_ -= reserved;
  if (reserved_ > threshold_) over_threshold_.store(true, std::memory_order_release);
}

void MemoryPool::trim(std::uint64_t keep) noexcept {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
  {
    const std::lock_guard lock(mutex_);
    over_threshold_.store(false, std::memory_order_relaxed);
    while (reserved_ > keep && !kept_.empty()) {
      const auto largest = std::prev(kept_.end());
      ranges.emplace_back(largest->second, largest->first);
      reserved_ -= largest->first;
      kept_.erase(largest);
    }
  }
  for (const auto& [address, reserved] : ranges) memory_.give_back(device_, address, reserved);
}

void MemoryPool::trim_to_threshold() noexcept {
  if (!over_threshold_.load(std::memory_order_acquire)) return;
  std::uint64_t threshold = 0;
  {
    const std::lock_guard lock(mutex_);
    threshold = threshold_;
  }
  trim(threshold);
}

CUresult MemoryPool::get_attribute(CUmemPool_attribute attribute, void* value) {
  const std::lock_guard lock(mutex_);
  const auto give = [&](std::uint64_t number) {
    *static_cast<cuuint64_t*>(value) = number;
    return CUDA_SUCCESS;
  };
  switch (attribute) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
      *static_cast<int*>(value) = reuse_[attribute - CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES];
      return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
      return give(threshold_);
    case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT:
      return give(reserved_);
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
      return give(reserved_high_);
    case CU_MEMPOOL_ATTR_USED_MEM_CURRENT:
      return give(used_);
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
      return give(used_high_);
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

CUresult MemoryPool::set_attribute(CUmemPool_attribute attribute, const void* value) {
  const std::lock_guard lock(mutex_);
  const auto number = [&] { return *static_cast<const cuuint64_t*>(value); };
  switch (attribute) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
      reuse_[attribute - CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES] = *static_cast<const int*>(value);
      return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
      threshold_ = number();
      return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
      if (number() != 0) return CUDA_ERROR_INVALID_VALUE;
      reserved_high_ = reserved_;
      return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
      if (number() != 0) return CUDA_ERROR_INVALID_VALUE;
      used_high_ = used_;
      return CUDA_SUCCESS;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

}  // namespace vgpu::softgpu
