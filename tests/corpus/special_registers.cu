// Special registers, clocks, the heap of kernels.
#include "corpus.hpp"

using u32 = unsigned;
using u64 = unsigned long long;

__global__ void indices(u32* out) {
  const u32 block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const u32 thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  u32 lane;
  asm("mov.u32 %0, %%laneid;" : "=r"(lane));
  out[block * 60 + thread] = threadIdx.x + 10 * threadIdx.y + 100 * threadIdx.z + 1000 * blockIdx.x +
                             10000 * blockIdx.y + 100000 * blockIdx.z + 1000000 * (lane == thread % 32) +
                             10000000 * warpSize;
}

__global__ void clocks(u32* out) {
  const long long first = clock64();
  u64 time;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(time));
  u32 smid, nsmid, warp, nwarp;
  asm volatile("mov.u32 %0, %%smid;" : "=r"(smid));
  asm volatile("mov.u32 %0, %%nsmid;" : "=r"(nsmid));
  asm volatile("mov.u32 %0, %%warpid;" : "=r"(warp));
  asm volatile("mov.u32 %0, %%nwarpid;" : "=r"(nwarp));
  const clock_t start = clock();
  while (clock64() - first < 2000) {
  }
  u64 later;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(later));
  u32 dynamic_bytes, total_bytes;
  asm volatile("mov.u32 %0, %%dynamic_smem_size;" : "=r"(dynamic_bytes));
  asm volatile("mov.u32 %0, %%total_smem_size;" : "=r"(total_bytes));
  out[threadIdx.x] = (clock64() > first ? 1 : 0) | (later >= time ? 2 : 0) | (smid < nsmid ? 4 : 0) |
                     (warp < nwarp ? 8 : 0) | (clock() != start ? 16 : 0) | (dynamic_bytes == 256 ? 32 : 0) |
                     (total_bytes >= 256 ? 64 : 0);
}

__global__ void sleeping(u32* out) {
  __nanosleep(100);
  out[threadIdx.x] = threadIdx.x;
}

struct Node {
  u32 value;
  Node* next;
};
/// A list in the heap of each thread.
__global__ void heap(u32* out) {
  Node* head = nullptr;
  for (u32 i = 0; i <= threadIdx.x % 7; ++i) {
    Node* node = static_cast<Node*>(malloc(sizeof(Node)));
    if (node == nullptr) break;
    node->value = i * threadIdx.x;
    node->next = head;
    head = node;
  }
  u32 sum = 0;
  while (head != nullptr) {
    sum = sum * 5 + head->value;
    Node* next = head->next;
    free(head);
    head = next;
  }
  u32* many = new u32[100];
  for (u32 i = 0; i < 100; ++i) many[i] = i ^ sum;
  u32 mixed = 0;
  for (u32 i = 0; i < 100; ++i) mixed = mixed * 3 + many[i];
  delete[] many;
  out[blockIdx.x * blockDim.x + threadIdx.x] = mixed;
}

/// What one kernel takes, another uses and a third gives back.
__device__ u32* kept[32];
__global__ void take() {
  kept[threadIdx.x] = static_cast<u32*>(malloc(64));
  kept[threadIdx.x][15] = threadIdx.x * 9;
}
__global__ void use(u32* out) { out[threadIdx.x] = kept[31 - threadIdx.x][15]; }
__global__ void give() { free(kept[threadIdx.x]); }

int main() {
  {
    corpus::Buffer<u32> out(24 * 60);
    indices<<<dim3(2, 3, 4), dim3(5, 4, 3)>>>(out);
    std::vector<u32> wanted(24 * 60);
    for (u32 i = 0; i < wanted.size(); ++i) {
      const u32 t = i % 60, b = i / 60;
      wanted[i] = t % 5 + 10 * (t / 5 % 4) + 100 * (t / 20) + 1000 * (b % 2) + 10000 * (b / 2 % 3) + 100000 * (b / 6) +
                  1000000 + 320000000;
    }
    corpus::exact("indices", out.values(), wanted);
  }
  corpus::Buffer<u32> out(32);
  clocks<<<1, 32, 256>>>(out);
  corpus::exact("clocks", out.values(), std::vector<u32>(32, 127));
  std::vector<u32> wanted(32);
  for (u32 i = 0; i < 32; ++i) wanted[i] = i;
  sleeping<<<1, 32>>>(out);
  corpus::exact("sleeping", out.values(), wanted);
  {
    corpus::Buffer<u32> sums(128);
    heap<<<2, 64>>>(sums);
    std::vector<u32> wanted_sums(128);
    for (u32 k = 0; k < 128; ++k) {
      const u32 t = k % 64;
      u32 sum = 0, mixed = 0;
      for (u32 i = t % 7 + 1; i-- > 0;) sum = sum * 5 + i * t;
      for (u32 i = 0; i < 100; ++i) mixed = mixed * 3 + (i ^ sum);
      wanted_sums[k] = mixed;
    }
    corpus::exact("heap", sums.values(), wanted_sums);
  }
  take<<<1, 32>>>();
  use<<<1, 32>>>(out);
  for (u32 i = 0; i < 32; ++i) wanted[i] = (31 - i) * 9;
  corpus::exact("heap_across_kernels", out.values(), wanted);
  give<<<1, 32>>>();
  CHECK(cudaDeviceSynchronize());
  std::printf("special_registers: ok\n");
}
