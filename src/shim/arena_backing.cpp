#include "shim/arena_backing.hpp"

#include "shim/thread.hpp"

namespace vgpu::shim {
namespace {

constexpr u64 kGranule = VGPU_ARENA_GRANULE;
constexpr u64 kKept = ArenaBacking::kKeptBytes / kGranule;

Offset in_region(u64 granule) noexcept { return Offset{VGPU_ARENA_OFFSET + granule * kGranule}; }

/// Sends a call and returns its own result, nobody else's.
template <typename Call>
CUresult tell(Channel& channel, const typename Call::Request& request) noexcept {
  ThreadSlot slot;
  if (!slot.taken()) return channel.health();
  u32 ticket = 0;
  const CUresult result = channel.begin<Call>(slot.index(), ticket, 0, request, 0, [](std::byte*) {});
  return result == CUDA_SUCCESS ? channel.await(slot.index(), ticket) : result;
}

}  // namespace

ArenaBacking::ArenaBacking(Channel& channel) : channel_(channel) {
  if (channel.carrier().arena_on_demand()) granules_.resize(channel.arena_bytes() / kGranule);
}

bool ArenaBacking::take(u64 start, u64 bytes) {
  if (granules_.empty()) return true;
  const u64 first = start / kGranule;
  const u64 end = first + bytes / kGranule;
  std::lock_guard lock(mutex_);
  for (u64 i = first; i < end; ++i) {
    if (granules_[i].backed && !granules_[i].taken) --kept_;
    granules_[i].taken = true;
  }
  if (fill(first, end)) return true;
  give_back(first, end);
  return false;
}

void ArenaBacking::give(u64 start, u64 bytes) {
  if (granules_.empty()) return;
  std::lock_guard lock(mutex_);
  give_back(start / kGranule, (start + bytes) / kGranule);
}

void ArenaBacking::give_back(u64 first, u64 end) {
  for (u64 i = first; i < end; ++i) {
    granules_[i].taken = false;
    if (granules_[i].backed) ++kept_;
  }
  // The first ones stay, as the next range is looked for from the arena's start.
  while (kept_ > kKept && end > first) {
    u64 from = end - 1;
    if (granules_[from].backed) {
      u64 too_many = kept_ - kKept;
      while (--too_many != 0 && from > first && granules_[from - 1].backed) --from;
      empty(from, end);
    }
    end = from;
  }
}

/// Puts memory behind the granules of [first, end) that have none.
bool ArenaBacking::fill(u64 first, u64 end) {
  bool tried_kept = false;
  while (first < end) {
    if (granules_[first].backed) {
      ++first;
      continue;
    }
    u64 gap_end = first + 1;
    while (gap_end < end && !granules_[gap_end].backed) ++gap_end;
    std::byte* at = channel_.arena() + first * kGranule;
    u64 offset = 0;
    const u64 bytes = channel_.carrier().take_extent(at, (gap_end - first) * kGranule, offset);
    if (bytes == 0) {
      // What is kept elsewhere in the arena may be what is missing here.
      if (tried_kept || !empty_kept()) return false;
      tried_kept = true;
      continue;
    }
    if (tell<call::vgpuMapExtent>(channel_, {in_region(first), bytes, offset}) != CUDA_SUCCESS) {
      channel_.carrier().give_extent(at, bytes, offset);
      return false;
    }
    for (const u64 next = first + bytes / kGranule; first < next; ++first, offset += kGranule) {
      granules_[first].offset = offset;
      granules_[first].backed = true;
    }
  }
  return true;
}

/// Takes the memory behind backed granules, which nobody has taken, away: from the executor first, because the guest's
/// driver takes nothing back that the host still has.
void ArenaBacking::empty(u64 first, u64 end) {
  if (tell<call::vgpuUnmapExtent>(channel_, {in_region(first), (end - first) * kGranule}) != CUDA_SUCCESS) {
    // It stays as it is, and whoever takes the range next has it. They count as used, so that nobody tries again.
    kept_ -= end - first;
    for (u64 i = first; i < end; ++i) granules_[i].taken = true;
    return;
  }
  while (first < end) {
    u64 run_end = first + 1;
    while (run_end < end && granules_[run_end].offset == granules_[run_end - 1].offset + kGranule) ++run_end;
    channel_.carrier().give_extent(channel_.arena() + first * kGranule, (run_end - first) * kGranule,
                                   granules_[first].offset);
    for (; first < run_end; ++first) {
      granules_[first] = {};
      --kept_;
    }
  }
}

/// True if anything was kept, and has gone.
bool ArenaBacking::empty_kept() {
  const u64 before = kept_;
  for (u64 i = 0; i < granules_.size() && kept_ != 0; ++i) {
    if (!granules_[i].backed || granules_[i].taken) continue;
    u64 end = i + 1;
    while (end < granules_.size() && granules_[end].backed && !granules_[end].taken) ++end;
    empty(i, end);
    i = end - 1;
  }
  return kept_ < before;
}

}  // namespace vgpu::shim
