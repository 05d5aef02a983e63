// Blocks of one grid that wait for each other.
#include <cooperative_groups.h>
namespace cg = cooperative_groups;

extern "C" __global__ void grid_sync(int* cells, int* out) {
  cg::grid_group grid = cg::this_grid();
  if (threadIdx.x == 0) cells[blockIdx.x] = blockIdx.x + 1;
  grid.sync();
  int sum = 0;
  for (unsigned i = 0; i < gridDim.x; ++i) sum += cells[i];
  grid.sync();
  if (threadIdx.x == 0) cells[blockIdx.x] = sum;
  grid.sync();
  if (threadIdx.x == 0) out[blockIdx.x] = cells[(blockIdx.x + 1) % gridDim.x];
}

extern "C" __global__ void tiles(int* out) {
  cg::thread_block block = cg::this_thread_block();
  cg::thread_block_tile<8> tile = cg::tiled_partition<8>(block);
  int sum = threadIdx.x;
  for (int step = 4; step > 0; step /= 2) sum += tile.shfl_down(sum, step);
  block.sync();
  cg::coalesced_group active = cg::coalesced_threads();
  out[threadIdx.x] = tile.thread_rank() == 0 ? sum : static_cast<int>(active.size());
}
