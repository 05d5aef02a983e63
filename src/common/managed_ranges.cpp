#include "common/managed_ranges.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <vector>

namespace vgpu {

int ManagedRanges::Location::ordinal() const noexcept {
  if (type == 0) return CU_DEVICE_INVALID;
  return type == CU_MEM_LOCATION_TYPE_DEVICE ? id : CU_DEVICE_CPU;
}

void ManagedRanges::split(std::uint64_t at) {
  const auto next = parts_.upper_bound(at);
  const auto holder = std::prev(next);
  if (holder->first != at) parts_.emplace_hint(next, at, holder->second);
}

template <class Change>
void ManagedRanges::change(std::uint64_t offset, std::uint64_t bytes, Change change) {
  split(offset);
  split(offset + bytes);
  for (auto it = parts_.find(offset); it != parts_.end() && it->first < offset + bytes; ++it) change(it->second);
  // Neighbours that say the same become one again, so that a program that advises for ever does not grow the map.
  for (auto it = std::next(parts_.begin()); it != parts_.end();) {
    it = it->second == std::prev(it)->second ? parts_.erase(it) : std::next(it);
  }
}

CUresult ManagedRanges::advise(std::uint64_t offset, std::uint64_t bytes, CUmem_advise advice, Location location) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t device =
      location.type == CU_MEM_LOCATION_TYPE_DEVICE ? std::uint64_t{1} << (static_cast<unsigned>(location.id) & 63) : 0;
  switch (advice) {
    case CU_MEM_ADVISE_SET_READ_MOSTLY:
    case CU_MEM_ADVISE_UNSET_READ_MOSTLY:
      change(offset, bytes, [&](Advice& it) { it.read_mostly = advice == CU_MEM_ADVISE_SET_READ_MOSTLY; });
      return CUDA_SUCCESS;
    case CU_MEM_ADVISE_SET_PREFERRED_LOCATION:
      change(offset, bytes, [&](Advice& it) { it.preferred = location; });
      return CUDA_SUCCESS;
    case CU_MEM_ADVISE_UNSET_PREFERRED_LOCATION:
      change(offset, bytes, [&](Advice& it) { it.preferred = {}; });
      return CUDA_SUCCESS;
    case CU_MEM_ADVISE_SET_ACCESSED_BY:
    case CU_MEM_ADVISE_UNSET_ACCESSED_BY:
      change(offset, bytes, [&](Advice& it) {
        const bool set = advice == CU_MEM_ADVISE_SET_ACCESSED_BY;
        if (device == 0) {
          it.host = set;
        } else {
          it.devices = set ? it.devices | device : it.devices & ~device;
        }
      });
      return CUDA_SUCCESS;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

void ManagedRanges::note_prefetch(std::uint64_t offset, std::uint64_t bytes, Location location) {
  const std::lock_guard lock(mutex_);
  change(offset, bytes, [&](Advice& it) { it.last_prefetch = location; });
}

CUresult ManagedRanges::get(std::uint64_t offset, std::uint64_t bytes, CUmem_range_attribute attribute, void* data,
                            std::size_t size) const {
  const std::lock_guard lock(mutex_);
  auto it = std::prev(parts_.upper_bound(offset));
  Advice common = it->second;
  // An attribute holds for a range only where all of it agrees.
  for (++it; it != parts_.end() && it->first < offset + bytes; ++it) {
    const Advice& part = it->second;
    common.read_mostly = common.read_mostly && part.read_mostly;
    if (common.preferred != part.preferred) common.preferred = {};
    if (common.last_prefetch != part.last_prefetch) common.last_prefetch = {};
    common.devices &= part.devices;
    common.host = common.host && part.host;
  }
  const auto give = [&](int value) {
    if (size != sizeof value) return CUDA_ERROR_INVALID_VALUE;
    std::memcpy(data, &value, sizeof value);
    return CUDA_SUCCESS;
  };
  switch (attribute) {
    case CU_MEM_RANGE_ATTRIBUTE_READ_MOSTLY:
      return give(common.read_mostly ? 1 : 0);
    case CU_MEM_RANGE_ATTRIBUTE_PREFERRED_LOCATION:
      return give(common.preferred.ordinal());
    case CU_MEM_RANGE_ATTRIBUTE_LAST_PREFETCH_LOCATION:
      return give(common.last_prefetch.ordinal());
    case CU_MEM_RANGE_ATTRIBUTE_PREFERRED_LOCATION_TYPE:
      return give(common.preferred.type);
    case CU_MEM_RANGE_ATTRIBUTE_PREFERRED_LOCATION_ID:
      return give(common.preferred.id);
    case CU_MEM_RANGE_ATTRIBUTE_LAST_PREFETCH_LOCATION_TYPE:
      return give(common.last_prefetch.type);
    case CU_MEM_RANGE_ATTRIBUTE_LAST_PREFETCH_LOCATION_ID:
      return give(common.last_prefetch.id);
    case CU_MEM_RANGE_ATTRIBUTE_ACCESSED_BY: {
      if (size == 0 || size % sizeof(int) != 0) return CUDA_ERROR_INVALID_VALUE;
      std::vector<int> list(size / sizeof(int), CU_DEVICE_INVALID);
      std::size_t used = 0;
      if (common.host) list[used++] = CU_DEVICE_CPU;
      for (int device = 0; device < 64 && used < list.size(); ++device) {
        if ((common.devices >> device & 1) != 0) list[used++] = device;
      }
      std::memcpy(data, list.data(), size);
      return CUDA_SUCCESS;
    }
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

}  // namespace vgpu
