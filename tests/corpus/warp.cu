// What the lanes of a warp do together: shuffles in all modes and widths, votes, match, reductions, active masks.
#include "corpus.hpp"

using u32 = unsigned;
using u64 = unsigned long long;

namespace {

constexpr u32 kWarps = 4;

template <class T, class F>
void each_lane(const char* name, void (*kernel)(T*), F reference) {
  corpus::Buffer<T> out(kWarps * 32);
  kernel<<<2, 64>>>(out.get());
  std::vector<T> wanted(kWarps * 32);
  for (u32 i = 0; i < wanted.size(); ++i) wanted[i] = reference(i / 32, i % 32);
  corpus::exact(name, out.values(), wanted);
}

}  // namespace

#define LANE_KERNEL(name, T, ...)                            \
  __global__ void name(T* out) {                             \
    const u32 index = blockIdx.x * blockDim.x + threadIdx.x; \
    const u32 lane = index % 32;                             \
    const u32 warp = index / 32;                             \
    (void)warp, (void)lane;                                  \
    __VA_ARGS__                                              \
  }

LANE_KERNEL(shuffle_index, u32,
            out[index] = __shfl_sync(~0u, index * 3, lane * 7 + warp) + 1000 * __shfl_sync(~0u, index, 5, 8);)
LANE_KERNEL(shuffle_up, u32, out[index] = __shfl_up_sync(~0u, index * 3, 5) + 1000 * __shfl_up_sync(~0u, index, 3, 16);)
LANE_KERNEL(shuffle_down, u32,
            out[index] = __shfl_down_sync(~0u, index * 3, 5) + 1000 * __shfl_down_sync(~0u, index, 3, 4);)
LANE_KERNEL(shuffle_xor, u32,
            out[index] = __shfl_xor_sync(~0u, index * 3, 21) + 1000 * __shfl_xor_sync(~0u, index, 12, 8);)
LANE_KERNEL(shuffle_wide, u64, out[index] = __shfl_sync(~0u, index * 0x100000001ull, 31 - lane);)
LANE_KERNEL(shuffle_double, double, out[index] = __shfl_xor_sync(~0u, index * 0.5, 1);)
LANE_KERNEL(shuffle_part, u32, {
  out[index] = 0;
  if (lane & 1)
    out[index] = __shfl_sync(0xaaaaaaaau, index, (lane + 2) | 1);
  else
    out[index] = __shfl_xor_sync(0x55555555u, index * 2, 4);
})
LANE_KERNEL(votes, u32,
            out[index] = __ballot_sync(~0u, (index * 7) % 5 < 2) ^ (__any_sync(~0u, lane == warp) ? 1u : 0u) ^
                         (__all_sync(~0u, lane < 31 + warp) ? 2u : 0u);)
LANE_KERNEL(vote_uniform, u32, {
  int same;
  asm volatile("{ .reg .pred p, q; setp.eq.u32 p, %1, 1; vote.sync.uni.pred q, p, 0xffffffff; selp.s32 %0, 1, 0, q; }"
               : "=r"(same)
               : "r"(warp));
  out[index] = static_cast<u32>(same);
})
LANE_KERNEL(match_any, u32, out[index] = __match_any_sync(~0u, (lane * lane) % 7);)
LANE_KERNEL(match_any_wide, u32, out[index] = __match_any_sync(~0u, (static_cast<u64>(lane % 3) << 40) | 5);)
LANE_KERNEL(match_all, u32, {
  int together = 0;
  const u32 mask = __match_all_sync(~0u, warp == 2 ? lane / 31 : 9u, &together);
  out[index] = mask ^ static_cast<u32>(together);
})
LANE_KERNEL(active_mask, u32, {
  out[index] = 0;
  if (lane % 3 == 1) {
    const u32 mask = __activemask();
    out[index] = mask & (1u << lane) ? 0x49249249u << 1 : 0;
  }
  __syncwarp();
})
LANE_KERNEL(lane_masks, u32, {
  u32 lt;
  u32 le;
  u32 gt;
  u32 ge;
  u32 eq;
  asm("mov.u32 %0, %%lanemask_lt;" : "=r"(lt));
  asm("mov.u32 %0, %%lanemask_le;" : "=r"(le));
  asm("mov.u32 %0, %%lanemask_gt;" : "=r"(gt));
  asm("mov.u32 %0, %%lanemask_ge;" : "=r"(ge));
  asm("mov.u32 %0, %%lanemask_eq;" : "=r"(eq));
  out[index] = lt ^ (le * 3) ^ (gt * 5) ^ (ge * 7) ^ (eq * 11);
})
LANE_KERNEL(scan_by_shuffle, u32, {
  u32 sum = lane * lane + warp;
  for (u32 by = 1; by < 32; by *= 2) {
    const u32 left = __shfl_up_sync(~0u, sum, by);
    if (lane >= by) sum += left;
  }
  out[index] = sum;
})
LANE_KERNEL(sync_and_share, u32, {
  __shared__ u32 cells[64];
  cells[threadIdx.x] = index * 5;
  __syncwarp();
  const u32 other = cells[threadIdx.x ^ 1];
  __syncwarp(0xffffffffu);
  cells[threadIdx.x] = other + 1;
  __syncwarp();
  out[index] = cells[threadIdx.x ^ 16];
})
LANE_KERNEL(lanes_in_turn, u32, {
  __shared__ u32 turn[2];
  if (lane == 0) turn[threadIdx.x / 32] = 1;
  __syncwarp();
  for (u32 i = 0; i < 32; ++i) {
    if (lane == i) turn[threadIdx.x / 32] = turn[threadIdx.x / 32] * 3 + lane;
    __syncwarp();
  }
  out[index] = turn[threadIdx.x / 32];
})

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
LANE_KERNEL(reduce_sync, u32,
            out[index] = __reduce_add_sync(~0u, lane + warp) ^ (__reduce_max_sync(~0u, lane * 3) << 8) ^
                         (__reduce_and_sync(~0u, lane | 0x70000) << 3) ^ __reduce_xor_sync(~0u, lane * 77) ^
                         static_cast<u32>(__reduce_min_sync(~0u, static_cast<int>(lane) - 20)) ^
                         (__reduce_or_sync(~0u, 1u << (lane & 7)) << 20);)
#else
__global__ void reduce_sync(u32*) {}
#endif
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
LANE_KERNEL(elected, u32, {
  u32 leader;
  u32 is;
  asm volatile("{ .reg .pred p; elect.sync %0|p, %2; selp.u32 %1, 1, 0, p; }"
               : "=r"(leader), "=r"(is)
               : "r"(0xffffffffu));
  out[index] = __popc(__ballot_sync(~0u, is)) + 10 * (is ? leader == lane : 1u);
})
#else
__global__ void elected(u32*) {}
#endif

int main() {
  each_lane<u32>("shuffle_index", shuffle_index,
                 [](u32 w, u32 l) { return (w * 32 + (l * 7 + w) % 32) * 3 + 1000 * (w * 32 + l / 8 * 8 + 5); });
  each_lane<u32>("shuffle_up", shuffle_up, [](u32 w, u32 l) {
    return (w * 32 + (l < 5 ? l : l - 5)) * 3 + 1000 * (w * 32 + (l % 16 < 3 ? l : l - 3));
  });
  each_lane<u32>("shuffle_down", shuffle_down, [](u32 w, u32 l) {
    return (w * 32 + (l > 26 ? l : l + 5)) * 3 + 1000 * (w * 32 + (l % 4 > 0 ? l : l + 3));
  });
  each_lane<u32>("shuffle_xor", shuffle_xor, [](u32 w, u32 l) {
    // A lane beyond its group of 8 is out of range for those below it, not for those above.
    const u32 other = l ^ 12;
    return (w * 32 + (l ^ 21)) * 3 + 1000 * (w * 32 + (other <= (l | 7) ? other : l));
  });
  each_lane<u64>("shuffle_wide", shuffle_wide, [](u32 w, u32 l) { return (w * 32 + 31 - l) * 0x100000001ull; });
  each_lane<double>("shuffle_double", shuffle_double, [](u32 w, u32 l) { return (w * 32 + (l ^ 1)) * 0.5; });
  each_lane<u32>("shuffle_part", shuffle_part,
                 [](u32 w, u32 l) { return l & 1 ? w * 32 + (((l + 2) | 1) & 31) : (w * 32 + (l ^ 4)) * 2; });
  each_lane<u32>("votes", votes, [](u32 w, u32) {
    u32 mask = 0;
    for (u32 l = 0; l < 32; ++l) mask |= ((w * 32 + l) * 7 % 5 < 2 ? 1u : 0u) << l;
    return mask ^ 1u ^ (w > 0 ? 2u : 0u);
  });
  each_lane<u32>("vote_uniform", vote_uniform, [](u32, u32) { return 1u; });
  each_lane<u32>("match_any", match_any, [](u32, u32 l) {
    u32 mask = 0;
    for (u32 i = 0; i < 32; ++i) mask |= (i * i % 7 == l * l % 7 ? 1u : 0u) << i;
    return mask;
  });
  each_lane<u32>("match_any_wide", match_any_wide, [](u32, u32 l) {
    return l % 3 == 0 ? 0x49249249u : l % 3 == 1 ? 0x92492492u : 0x24924924u;
  });
  each_lane<u32>("match_all", match_all, [](u32 w, u32) { return w == 2 ? 0u : ~0u ^ 1u; });
  each_lane<u32>("active_mask", active_mask, [](u32, u32 l) { return l % 3 == 1 ? 0x49249249u << 1 : 0; });
  each_lane<u32>("lane_masks", lane_masks, [](u32, u32 l) {
    const u32 eq = 1u << l, lt = eq - 1, le = lt | eq, gt = ~le, ge = ~lt;
    return lt ^ (le * 3) ^ (gt * 5) ^ (ge * 7) ^ (eq * 11);
  });
  each_lane<u32>("scan_by_shuffle", scan_by_shuffle, [](u32 w, u32 l) {
    u32 sum = 0;
    for (u32 i = 0; i <= l; ++i) sum += i * i + w;
    return sum;
  });
  each_lane<u32>("sync_and_share", sync_and_share, [](u32 w, u32 l) { return (w * 32 + (l ^ 17)) * 5 + 1; });
  each_lane<u32>("lanes_in_turn", lanes_in_turn, [](u32, u32) {
    u32 turn = 1;
    for (u32 i = 0; i < 32; ++i) turn = turn * 3 + i;
    return turn;
  });
  if (corpus::architecture() >= 800) {
    each_lane<u32>("reduce_sync", reduce_sync, [](u32 w, u32) {
      u32 sum = 0, mixed = 0;
      for (u32 l = 0; l < 32; ++l) sum += l + w, mixed ^= l * 77;
      return sum ^ (93u << 8) ^ (0x70000u << 3) ^ mixed ^ static_cast<u32>(-20) ^ (255u << 20);
    });
  }
  if (corpus::architecture() >= 900) each_lane<u32>("elected", elected, [](u32, u32) { return 11u; });
  std::printf("warp: ok\n");
}
