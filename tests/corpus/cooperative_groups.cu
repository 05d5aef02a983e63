// Cooperative groups: tiles, coalesced threads, partitions, reductions, scans, whole grids.
#include <cooperative_groups.h>
#include <cooperative_groups/memcpy_async.h>
#include <cooperative_groups/reduce.h>
#include <cooperative_groups/scan.h>

#include "corpus.hpp"

namespace cg = cooperative_groups;
using u32 = unsigned;

template <int Size>
__global__ void tiles(u32* out) {
  const auto tile = cg::tiled_partition<Size>(cg::this_thread_block());
  u32 value = threadIdx.x * 3 + 1;
  for (u32 by = tile.size() / 2; by > 0; by /= 2) value += tile.shfl_xor(value, by);
  out[threadIdx.x] = value + tile.thread_rank() * 100000 + tile.meta_group_rank() * 1000 +
                     (tile.any(threadIdx.x == 5) ? 7 : 0) + static_cast<u32>(__popc(tile.ballot(threadIdx.x & 1)));
}

__global__ void coalesced(u32* out, u32* counter) {
  out[threadIdx.x] = 0;
  if (threadIdx.x % 3 != 1) {
    const auto group = cg::coalesced_threads();
    u32 base = 0;
    if (group.thread_rank() == 0) base = atomicAdd(counter, group.size());
    base = group.shfl(base, 0);
    out[threadIdx.x] = group.size() * 100 + group.thread_rank() + base * 0;
  }
}

__global__ void reductions(u32* out, const u32* in) {
  const auto block = cg::this_thread_block();
  const auto tile = cg::tiled_partition<32>(block);
  const u32 x = in[threadIdx.x];
  const u32 sum = cg::reduce(tile, x, cg::plus<u32>());
  const u32 most = cg::reduce(tile, x, cg::greater<u32>());
  const auto part = cg::tiled_partition<8>(block);
  const int least = cg::reduce(part, static_cast<int>(x), cg::less<int>());
  out[threadIdx.x] = sum ^ (most * 3) ^ (static_cast<u32>(least) * 5) ^ cg::reduce(part, x, cg::bit_xor<u32>());
}

__global__ void scans(u32* out, const u32* in) {
  const auto tile = cg::tiled_partition<32>(cg::this_thread_block());
  const u32 x = in[threadIdx.x];
  out[threadIdx.x] = cg::inclusive_scan(tile, x) ^ (cg::exclusive_scan(tile, x) * 3);
}

__global__ void partitions(u32* out) {
  const auto tile = cg::tiled_partition<32>(cg::this_thread_block());
  const auto by_label = cg::labeled_partition(tile, threadIdx.x % 5);
  const auto two = cg::binary_partition(tile, (threadIdx.x & 6) == 2);
  out[threadIdx.x] =
      by_label.size() * 1000 + by_label.thread_rank() + two.size() * 1000000 + two.thread_rank() * 100000;
}

__global__ void grid_sync(u32* cells, u32* out, u32 rounds) {
  const auto grid = cg::this_grid();
  const u32 i = static_cast<u32>(grid.thread_rank());
  const u32 n = static_cast<u32>(grid.size());
  cells[i] = i;
  for (u32 round = 0; round < rounds; ++round) {
    grid.sync();
    const u32 next = cells[(i + 37) % n];
    grid.sync();
    cells[i] = next * 3 + round;
  }
  grid.sync();
  out[i] = cells[n - 1 - i];
}

__global__ void group_copy(u32* out, const u32* in) {
  __shared__ u32 cells[256];
  const auto block = cg::this_thread_block();
  cg::memcpy_async(block, cells, in, sizeof cells);
  cg::wait(block);
  out[block.thread_rank()] = cells[255 - block.thread_rank()] + static_cast<u32>(block.group_dim().x);
  block.sync();
}

template <int Size>
void run_tiles(const char* name) {
  corpus::Buffer<u32> out(64);
  tiles<Size><<<1, 64>>>(out);
  std::vector<u32> wanted(64);
  for (u32 i = 0; i < 64; ++i) {
    const u32 first = i / Size * Size;
    for (u32 k = first; k < first + Size; ++k) wanted[i] += k * 3 + 1;
    wanted[i] += i % Size * 100000 + i / Size * 1000 + (first <= 5 && 5 < first + Size ? 7 : 0) + Size / 2;
  }
  corpus::exact(name, out.values(), wanted);
}

int main() {
  run_tiles<32>("tiles_32");
  run_tiles<16>("tiles_16");
  run_tiles<4>("tiles_4");
  run_tiles<2>("tiles_2");
  {
    corpus::Buffer<u32> out(32), counter(1);
    coalesced<<<1, 32>>>(out, counter);
    std::vector<u32> wanted(32);
    u32 rank = 0;
    for (u32 i = 0; i < 32; ++i)
      if (i % 3 != 1) wanted[i] = 21 * 100 + rank++;
    corpus::exact("coalesced", out.values(), wanted);
    corpus::exact("coalesced_count", counter.values(), {21u});
  }
  const auto in = corpus::any_bits<u32>(256);
  const corpus::Buffer<u32> device_in(in);
  {
    corpus::Buffer<u32> out(128);
    reductions<<<1, 128>>>(out, device_in);
    std::vector<u32> wanted(128);
    for (u32 i = 0; i < 128; ++i) {
      u32 sum = 0, most = 0, mixed = 0;
      int least = INT32_MAX;
      for (u32 k = i / 32 * 32; k < i / 32 * 32 + 32; ++k) sum += in[k], most = std::max(most, in[k]);
      for (u32 k = i / 8 * 8; k < i / 8 * 8 + 8; ++k) least = std::min(least, static_cast<int>(in[k])), mixed ^= in[k];
      wanted[i] = sum ^ (most * 3) ^ (static_cast<u32>(least) * 5) ^ mixed;
    }
    corpus::exact("group_reductions", out.values(), wanted);
    scans<<<1, 128>>>(out, device_in);
    u32 sum = 0;
    for (u32 i = 0; i < 128; ++i) {
      if (i % 32 == 0) sum = 0;
      wanted[i] = (sum + in[i]) ^ (sum * 3);
      sum += in[i];
    }
    corpus::exact("group_scans", out.values(), wanted);
  }
  {
    corpus::Buffer<u32> out(32);
    partitions<<<1, 32>>>(out);
    std::vector<u32> wanted(32);
    u32 ranks[5] = {}, sides[2] = {};
    for (u32 i = 0; i < 32; ++i) {
      const bool side = (i & 6) == 2;
      wanted[i] = (i % 5 < 2 ? 7 : 6) * 1000 + ranks[i % 5]++ + (side ? 8 : 24) * 1000000 + sides[side]++ * 100000;
    }
    corpus::exact("partitions", out.values(), wanted);
  }
  {
    constexpr u32 n = 6 * 64;
    corpus::Buffer<u32> cells(n), out(n);
    u32* first = cells;
    u32* second = out;
    u32 rounds = 5;
    void* arguments[] = {&first, &second, &rounds};
    CHECK(cudaLaunchCooperativeKernel(reinterpret_cast<const void*>(grid_sync), dim3(6), dim3(64), arguments, 0,
                                      nullptr));
    std::vector<u32> state(n), wanted(n);
    for (u32 i = 0; i < n; ++i) state[i] = i;
    for (u32 round = 0; round < rounds; ++round) {
      const auto before = state;
      for (u32 i = 0; i < n; ++i) state[i] = before[(i + 37) % n] * 3 + round;
    }
    for (u32 i = 0; i < n; ++i) wanted[i] = state[n - 1 - i];
    corpus::exact("grid_sync", out.values(), wanted);
  }
  {
    corpus::Buffer<u32> out(256);
    group_copy<<<1, 256>>>(out, device_in);
    std::vector<u32> wanted(256);
    for (u32 i = 0; i < 256; ++i) wanted[i] = in[255 - i] + 256;
    corpus::exact("group_copy", out.values(), wanted);
  }
  std::printf("cooperative_groups: ok\n");
}
