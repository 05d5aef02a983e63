#include "shim/host_memory.hpp"

#include <sys/mman.h>

#include <algorithm>

#include "shim/session.hpp"

namespace vgpu::shim {

std::optional<u64> HostMemory::take(u64 bytes) {
  std::optional<u64> start;
  {
    std::lock_guard lock(mutex_);
    start = extents_.take(bytes);
  }
  if (!start || backing_.take(*start, extents_.rounded(bytes))) return start;
  std::lock_guard lock(mutex_);
  extents_.give(*start, bytes);
  return std::nullopt;
}

void HostMemory::give(u64 start, u64 bytes) {
  // First: as soon as the range is free, another thread may take it.
  backing_.give(start, extents_.rounded(bytes));
  std::lock_guard lock(mutex_);
  extents_.give(start, bytes);
}

std::byte* HostMemory::take_extent(u64 bytes) {
  const auto start = take(bytes);
  return start ? at(*start) : nullptr;
}

void HostMemory::give_extent(std::byte* extent, u64 bytes) {
  const u64 start = static_cast<u64>(extent - channel_.arena());
  // A hole in the file: the host's memory is free again. Where that is refused the pages are reused by the next owner.
  if (!channel_.carrier().arena_on_demand()) ::madvise(extent, extents_.rounded(bytes), MADV_REMOVE);
  give(start, bytes);
}

CUresult HostMemory::register_extent(const Context& context, u64 start, u64 bytes, u32 flags, u64& device_base) {
  call::cuMemHostAlloc::Reply reply{};
  const CUresult result = ask<call::cuMemHostAlloc>(
      context.index(), {Offset{VGPU_ARENA_OFFSET + start}, extents_.rounded(bytes), flags, 0}, &reply);
  if (result == CUDA_SUCCESS) device_base = static_cast<u64>(reply.device_pointer);
  return result;
}

bool HostMemory::carve(const Context& context, u64 bytes, u32 flags, Allocation& made) {
  std::lock_guard lock(mutex_);
  for (auto& [address, slab] : slabs_) {
    if (slab->context != context.handle) continue;
    const auto start = slab->ranges.take(bytes);
    if (!start) continue;
    made = {address + *start,
            bytes,
            Allocation::Kind::host,
            context.handle,
            context.device,
            flags,
            slab->device_base + *start,
            address,
            0,
            0};
    return true;
  }
  return false;
}

CUresult HostMemory::allocate(const Context& context, u64 bytes, u32 flags, Allocation& made) {
  const bool small = bytes <= kSmallBytes;
  if (small && carve(context, bytes, flags, made)) return CUDA_SUCCESS;
  const u64 wanted = small ? kSlabBytes : bytes;
  const auto start = take(wanted);
  if (!start) return CUDA_ERROR_OUT_OF_MEMORY;
  u64 device_base = 0;
  const u32 registered_flags = small ? CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP : flags;
  if (const CUresult result = register_extent(context, *start, wanted, registered_flags, device_base);
      result != CUDA_SUCCESS) {
    give(*start, wanted);
    return result;
  }
  const u64 address = reinterpret_cast<u64>(at(*start));
  if (!small) {
    made = {address, bytes, Allocation::Kind::host, context.handle, context.device, flags, device_base, 0, 0, 0};
    return CUDA_SUCCESS;
  }
  {
    std::lock_guard lock(mutex_);
    slabs_[address] =
        std::make_unique<Slab>(Slab{RangeAllocator(kSlabBytes, kSmallGranule), context.handle, device_base});
  }
  return carve(context, bytes, flags, made) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult HostMemory::free(const Context& context, const Allocation& allocation) {
  u64 base = allocation.base;
  u64 bytes = allocation.bytes;
  CUresult earlier = CUDA_SUCCESS;
  if (allocation.slab != 0) {
    // Work that still uses it must be done before somebody else gets it.
    earlier = ask<call::cuCtxSynchronize>(context.index(), {0});
    std::lock_guard lock(mutex_);
    const auto found = slabs_.find(allocation.slab);
    if (found == slabs_.end()) return earlier;
    found->second->ranges.give(base - allocation.slab, bytes);
    // The last one of a context stays: programs allocate and free in a loop.
    const bool last = std::count_if(slabs_.begin(), slabs_.end(), [&](const auto& entry) {
                        return entry.second->context == found->second->context;
                      }) == 1;
    if (last || !found->second->ranges.whole()) return earlier;
    base = allocation.slab;
    bytes = kSlabBytes;
    slabs_.erase(found);
  }
  const u64 start = base - reinterpret_cast<u64>(channel_.arena());
  const CUresult result =
      ask<call::cuMemFreeHost>(context.index(), {Offset{VGPU_ARENA_OFFSET + start}, extents_.rounded(bytes)});
  give(start, bytes);
  return result != CUDA_SUCCESS ? result : earlier;
}

void HostMemory::release_context(const Context& context, const std::vector<Allocation>& allocations) {
  std::vector<std::pair<u64, u64>> extents;
  const u64 arena = reinterpret_cast<u64>(channel_.arena());
  for (const Allocation& allocation : allocations)
    if ((allocation.kind == Allocation::Kind::host || allocation.kind == Allocation::Kind::managed) &&
        allocation.slab == 0)
      extents.emplace_back(allocation.base - arena, allocation.bytes);
  {
    std::lock_guard lock(mutex_);
    for (auto slab = slabs_.begin(); slab != slabs_.end();) {
      if (slab->second->context == context.handle) {
        extents.emplace_back(slab->first - arena, kSlabBytes);
        slab = slabs_.erase(slab);
      } else {
        ++slab;
      }
    }
  }
  for (const auto& [start, bytes] : extents) {
    ask<call::cuMemFreeHost>(context.index(), {Offset{VGPU_ARENA_OFFSET + start}, extents_.rounded(bytes)});
    give(start, bytes);
  }
}

}  // namespace vgpu::shim
