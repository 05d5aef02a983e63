// link: -rdc=true -lcudadevrt -gencode=arch=compute_90,code=sm_90
// about: dynamic parallelism and cooperative grids, whose kernels are linked with the device's own runtime
#include <cooperative_groups.h>

#include "results.h"

namespace groups = cooperative_groups;

__global__ void child(int* values, int start) {
  values[start + threadIdx.x] = start * 1000 + static_cast<int>(threadIdx.x);
}

__global__ void parent(int* values) { child<<<1, 64>>>(values, static_cast<int>(threadIdx.x) * 64); }

__global__ void everywhere(int* values, int* total, int count) {
  const groups::grid_group grid = groups::this_grid();
  for (int i = static_cast<int>(grid.thread_rank()); i < count; i += static_cast<int>(grid.size())) values[i] = i % 7;
  grid.sync();
  for (int i = static_cast<int>(grid.thread_rank()); i < count; i += static_cast<int>(grid.size()))
    atomicAdd(total, values[count - 1 - i]);
}

int main() {
  OnDevice<int> values(64 * 16), total(std::vector<int>{0});
  parent<<<1, 16>>>(values.data());
  CHECK(cudaGetLastError());
  std::vector<int> wanted;
  for (int i = 0; i < 64 * 16; ++i) wanted.push_back(i / 64 * 64 * 1000 + i % 64);
  check("children", values.host(), wanted, 0);
  give("children", values.host());

  int count = 64 * 16, blocks = 0;
  CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, everywhere, 128, 0));
  int* data = values.data();
  int* sum = total.data();
  void* arguments[] = {&data, &sum, &count};
  CHECK(cudaLaunchCooperativeKernel(everywhere, 4, 128, arguments, 0, nullptr));
  int expected = 0;
  for (int i = 0; i < count; ++i) expected += i % 7;
  check("grid", total.host(), std::vector<int>{expected}, 0);
  give("occupancy", std::vector<int>{blocks});
}
