// Barriers: whole blocks, with votes, named ones of part of a block, cuda::barrier, asynchronous copies.
#include <cuda/barrier>
#include <cuda/pipeline>

#include "corpus.hpp"

using u32 = unsigned;

/// The counts that each thread gets from a barrier with a vote.
__global__ void votes(u32* out) {
  const u32 i = threadIdx.x;
  u32 sum = static_cast<u32>(__syncthreads_count(i % 3 == 0));
  sum += __syncthreads_and(i < 200) ? 1000 : 0;
  sum += __syncthreads_and(i < 5) ? 20000 : 0;
  sum += __syncthreads_or(i == 77) ? 100000 : 0;
  sum += __syncthreads_or(i > 500) ? 3000000 : 0;
  out[i] = sum;
}

/// Two halves of a block use barriers of their own, one more often than the other.
__global__ void named(u32* out) {
  __shared__ u32 cells[128];
  const u32 i = threadIdx.x;
  const u32 half = i / 64;
  cells[i] = i;
  for (u32 round = 0; round < 3 + half; ++round) {
    asm volatile("barrier.sync %0, 64;" ::"r"(half + 1) : "memory");
    const u32 next = cells[half * 64 + (i + 1) % 64];
    asm volatile("bar.sync %0, 64;" ::"r"(half + 1) : "memory");
    cells[i] = next * 2 + round;
  }
  __syncthreads();
  out[i] = cells[127 - i];
}

/// A warp that only arrives, and one that waits for it.
__global__ void producer(u32* out) {
  __shared__ u32 cells[32];
  if (threadIdx.x < 32) {
    cells[threadIdx.x] = threadIdx.x * 11;
    asm volatile("bar.arrive 3, 64;" ::: "memory");
  } else {
    asm volatile("bar.sync 3, 64;" ::: "memory");
    out[threadIdx.x - 32] = cells[63 - threadIdx.x];
  }
}

__global__ void reduce_in_shared(const u32* in, u32* out) {
  __shared__ u32 cells[256];
  cells[threadIdx.x] = in[blockIdx.x * 256 + threadIdx.x];
  __syncthreads();
  for (u32 by = 128; by > 0; by /= 2) {
    if (threadIdx.x < by) cells[threadIdx.x] += cells[threadIdx.x + by];
    __syncthreads();
  }
  if (threadIdx.x == 0) out[blockIdx.x] = cells[0];
}

__global__ void block_barrier(u32* out) {
#pragma nv_diag_suppress static_var_with_dynamic_init
  __shared__ cuda::barrier<cuda::thread_scope_block> barrier;
  __shared__ u32 cells[64];
  if (threadIdx.x == 0) init(&barrier, blockDim.x);
  __syncthreads();
  cells[threadIdx.x] = threadIdx.x;
  for (u32 round = 0; round < 4; ++round) {
    auto token = barrier.arrive();
    barrier.wait(std::move(token));
    const u32 next = cells[(threadIdx.x + 7) % 64] + round;
    barrier.arrive_and_wait();
    cells[threadIdx.x] = next;
  }
  barrier.arrive_and_wait();
  out[threadIdx.x] = cells[threadIdx.x];
}

__global__ void copy_by_barrier(const u32* in, u32* out) {
  __shared__ cuda::barrier<cuda::thread_scope_block> barrier;
  __shared__ alignas(16) u32 cells[256];
  if (threadIdx.x == 0) init(&barrier, blockDim.x);
  __syncthreads();
  cuda::memcpy_async(cells + threadIdx.x * 4, in + threadIdx.x * 4, cuda::aligned_size_t<16>(16), barrier);
  barrier.arrive_and_wait();
  for (u32 k = 0; k < 4; ++k) out[threadIdx.x + 64 * k] = cells[255 - (threadIdx.x + 64 * k)];
}

/// Two stages: one is copied while the other is summed.
__global__ void pipelined(const u32* in, u32* out, u32 rounds) {
  __shared__ alignas(16) u32 stages[2][64];
  auto pipe = cuda::make_pipeline();
  u32 sum = 0;
  pipe.producer_acquire();
  cuda::memcpy_async(&stages[0][threadIdx.x], in + threadIdx.x, sizeof(u32), pipe);
  pipe.producer_commit();
  for (u32 round = 0; round < rounds; ++round) {
    if (round + 1 < rounds) {
      pipe.producer_acquire();
      cuda::memcpy_async(&stages[(round + 1) % 2][threadIdx.x], in + (round + 1) * 64 + threadIdx.x, sizeof(u32), pipe);
      pipe.producer_commit();
      cuda::pipeline_consumer_wait_prior<1>(pipe);
    } else {
      cuda::pipeline_consumer_wait_prior<0>(pipe);
    }
    __syncthreads();
    sum = sum * 3 + stages[round % 2][63 - threadIdx.x];
    pipe.consumer_release();
    __syncthreads();
  }
  out[threadIdx.x] = sum;
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
/// cp.async itself: 4, 8 and 16 bytes, groups, bytes that are filled with zero.
__global__ void copy_async(const u32* in, u32* out) {
  __shared__ alignas(16) u32 cells[64 * 7];
  const u32 i = threadIdx.x;
  auto at = [&](u32 word) { return static_cast<u32>(__cvta_generic_to_shared(&cells[word])); };
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(at(i)), "l"(in + i));
  asm volatile("cp.async.ca.shared.global [%0], [%1], 8;" ::"r"(at(64 + 2 * i)), "l"(in + 2 * i));
  asm volatile("cp.async.commit_group;");
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at(192 + 4 * i)), "l"(in + 4 * i),
               "r"(i % 2 ? 16 : 8));
  asm volatile("cp.async.commit_group;");
  asm volatile("cp.async.wait_group 1;");
  __syncthreads();
  u32 sum = cells[63 - i] + cells[64 + i] * 3;
  asm volatile("cp.async.wait_all;");
  __syncthreads();
  for (u32 k = 0; k < 4; ++k) sum = sum * 5 + cells[192 + i + 64 * k];
  out[i] = sum;
}
#else
__global__ void copy_async(const u32*, u32*) {}
#endif

int main() {
  {
    corpus::Buffer<u32> out(128);
    votes<<<1, 128>>>(out);
    corpus::exact("barrier_votes", out.values(), std::vector<u32>(128, 43 + 1000 + 100000));
  }
  {
    corpus::Buffer<u32> out(128);
    named<<<1, 128>>>(out);
    std::vector<u32> cells(128), wanted(128);
    for (u32 i = 0; i < 128; ++i) cells[i] = i;
    for (u32 half = 0; half < 2; ++half)
      for (u32 round = 0; round < 3 + half; ++round) {
        const auto before = cells;
        for (u32 i = 0; i < 64; ++i) cells[half * 64 + i] = before[half * 64 + (i + 1) % 64] * 2 + round;
      }
    for (u32 i = 0; i < 128; ++i) wanted[i] = cells[127 - i];
    corpus::exact("named_barriers", out.values(), wanted);
  }
  {
    corpus::Buffer<u32> out(32);
    producer<<<1, 64>>>(out);
    std::vector<u32> wanted(32);
    for (u32 i = 0; i < 32; ++i) wanted[i] = (31 - i) * 11;
    corpus::exact("barrier_arrive", out.values(), wanted);
  }
  const auto in = corpus::any_bits<u32>(1024);
  const corpus::Buffer<u32> device_in(in);
  {
    corpus::Buffer<u32> out(4);
    reduce_in_shared<<<4, 256>>>(device_in, out);
    std::vector<u32> wanted(4);
    for (u32 i = 0; i < 1024; ++i) wanted[i / 256] += in[i];
    corpus::exact("reduce_in_shared", out.values(), wanted);
  }
  {
    corpus::Buffer<u32> out(64);
    block_barrier<<<1, 64>>>(out);
    std::vector<u32> wanted(64);
    for (u32 i = 0; i < 64; ++i) wanted[i] = (i + 28) % 64 + 6;
    corpus::exact("library_barrier", out.values(), wanted);
  }
  {
    corpus::Buffer<u32> out(256);
    copy_by_barrier<<<1, 64>>>(device_in, out);
    std::vector<u32> wanted(in.begin(), in.begin() + 256);
    std::reverse(wanted.begin(), wanted.end());
    corpus::exact("copy_by_barrier", out.values(), wanted);
  }
  {
    corpus::Buffer<u32> out(64);
    pipelined<<<1, 64>>>(device_in, out, 9);
    std::vector<u32> wanted(64);
    for (u32 round = 0; round < 9; ++round)
      for (u32 i = 0; i < 64; ++i) wanted[i] = wanted[i] * 3 + in[round * 64 + 63 - i];
    corpus::exact("pipelined_copies", out.values(), wanted);
  }
  if (corpus::architecture() >= 800) {
    corpus::Buffer<u32> out(64);
    copy_async<<<1, 64>>>(device_in, out);
    std::vector<u32> wanted(64), cells(256);
    for (u32 i = 0; i < 256; ++i) cells[i] = i / 4 % 2 || i % 4 < 2 ? in[i] : 0;
    for (u32 i = 0; i < 64; ++i) {
      wanted[i] = in[63 - i] + in[i] * 3;
      for (u32 k = 0; k < 4; ++k) wanted[i] = wanted[i] * 5 + cells[i + 64 * k];
    }
    corpus::exact("copy_async", out.values(), wanted);
  }
  std::printf("barriers: ok\n");
}
