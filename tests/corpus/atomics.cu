// Atomics and reductions on every type, in global and shared memory, of each scope; fences.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cuda/atomic>

#include "corpus.hpp"

using u32 = unsigned;
using u64 = unsigned long long;

namespace {
constexpr int kBlocks = 8;
constexpr int kThreads = 96;
constexpr int kAll = kBlocks * kThreads;
}  // namespace

__global__ void integers(u32* u, int* s, u64* w, long long* t) {
  const u32 i = blockIdx.x * blockDim.x + threadIdx.x;
  const int v = static_cast<int>(i * 2654435761u);
  atomicAdd(&u[0], i);
  atomicSub(&u[1], i * 3);
  atomicMin(&u[2], static_cast<u32>(v));
  atomicMax(&u[3], static_cast<u32>(v));
  atomicAnd(&u[4], ~(1u << (i % 29)));
  atomicOr(&u[5], 1u << (i % 31));
  atomicXor(&u[6], static_cast<u32>(v));
  atomicInc(&u[7], 100);
  atomicDec(&u[8], 50);
  atomicAdd(&s[0], v);
  atomicMin(&s[1], v);
  atomicMax(&s[2], v);
  atomicAdd(&w[0], i * 0x100000001ull);
  atomicMin(&w[1], static_cast<u64>(static_cast<u32>(v)) << 20);
  atomicMax(&w[2], static_cast<u64>(static_cast<u32>(v)) << 20);
  atomicAnd(&w[3], ~(1ull << (i % 61)));
  atomicOr(&w[4], 1ull << (i % 63));
  atomicXor(&w[5], static_cast<u64>(v));
  atomicMin(&t[0], static_cast<long long>(v) << 9);
  atomicMax(&t[1], static_cast<long long>(v) << 9);
}

__global__ void scopes(u32* out) {
  __shared__ u32 cells[4];
  if (threadIdx.x < 4) cells[threadIdx.x] = 0;
  __syncthreads();
  atomicAdd_block(&cells[0], threadIdx.x);
  atomicMax(&cells[1], threadIdx.x * 7 % 91);
  atomicOr_block(&cells[2], 1u << threadIdx.x % 20);
  atomicCAS(&cells[3], 0, 77);
  __syncthreads();
  if (threadIdx.x < 4) atomicAdd_system(&out[threadIdx.x], cells[threadIdx.x]);
  __threadfence_system();
}

/// Whoever draws a number writes it: all of them are different.
__global__ void tickets(u32* counter, u32* seen) {
  const u32 mine = atomicAdd(counter, 1);
  atomicExch(&seen[mine], mine + 1);
}

__global__ void compare_and_swap(u64* sum, unsigned short* narrow) {
  u64 old = *sum, assumed;
  do {
    assumed = old;
    old = atomicCAS(sum, assumed, assumed * 1 + threadIdx.x + 1);
  } while (old != assumed);
  unsigned short before = *narrow, guess;
  do {
    guess = before;
    before = atomicCAS(narrow, guess, static_cast<unsigned short>(guess + 3));
  } while (before != guess);
}

/// A lock within a warp: needs that each lane goes on by itself.
__global__ void spin_lock(int* lock, u32* plain) {
  bool done = false;
  while (!done) {
    if (atomicCAS(lock, 0, 1) == 0) {
      __threadfence();
      *reinterpret_cast<volatile u32*>(plain) = *reinterpret_cast<volatile u32*>(plain) + threadIdx.x;
      __threadfence();
      atomicExch(lock, 0);
      done = true;
    }
  }
}

/// Sums of numbers that are exact in any order.
__global__ void floats(float* f, double* d, __half2* h, __half* h1) {
  const u32 i = blockIdx.x * blockDim.x + threadIdx.x;
  atomicAdd(&f[0], static_cast<float>(i % 16) * 0.25f);
  atomicAdd(&d[0], static_cast<double>(i) * 0.125);
  atomicAdd(h, __floats2half2_rn(static_cast<float>(i % 2), 0.5f));
  atomicAdd(h1, __float2half(1.0f));
  atomicExch(&f[1], 5.0f);
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
__global__ void bfloats(__nv_bfloat162* b) { atomicAdd(b, __floats2bfloat162_rn(threadIdx.x % 2, 1.0f)); }
#else
__global__ void bfloats(__nv_bfloat162*) {}
#endif

__global__ void library_atomics(u32* data, int* flag, u32* out) {
  cuda::atomic_ref<u32, cuda::thread_scope_device> count(data[0]);
  cuda::atomic_ref<u32, cuda::thread_scope_system> most(data[1]);
  count.fetch_add(2, cuda::std::memory_order_relaxed);
  most.fetch_max(threadIdx.x * 5, cuda::std::memory_order_acq_rel);
  u32 expected = data[2];
  cuda::atomic_ref<u32, cuda::thread_scope_block> block(data[2]);
  while (!block.compare_exchange_weak(expected, expected + 1, cuda::std::memory_order_seq_cst)) {
  }
  // A message from the first thread of the last warp to the first warp.
  cuda::atomic_ref<int, cuda::thread_scope_device> ready(*flag);
  if (threadIdx.x == blockDim.x - 32) {
    data[3] = 4711;
    ready.store(1, cuda::std::memory_order_release);
  }
  if (threadIdx.x == 0) {
    while (ready.load(cuda::std::memory_order_acquire) == 0) {
    }
    *out = data[3];
  }
}

/// Message passing between blocks, with fences.
__global__ void last_block(const u32* in, u32* partial, u32* counter, u32* out) {
  __shared__ u32 sum;
  __shared__ bool last;
  if (threadIdx.x == 0) sum = 0;
  __syncthreads();
  atomicAdd(&sum, in[blockIdx.x * blockDim.x + threadIdx.x]);
  __syncthreads();
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = sum;
    __threadfence();
    last = atomicInc(counter, gridDim.x) == gridDim.x - 1;
  }
  __syncthreads();
  if (last && threadIdx.x == 0) {
    u32 total = 0;
    for (u32 i = 0; i < gridDim.x; ++i) total += reinterpret_cast<volatile u32*>(partial)[i];
    *out = total;
  }
}

int main() {
  {
    corpus::Buffer<u32> u(std::vector<u32>{0, 0, ~0u, 0, ~0u, 0, 0, 0, 0});
    corpus::Buffer<int> s(std::vector<int>{0, INT32_MAX, INT32_MIN});
    corpus::Buffer<u64> w(std::vector<u64>{0, ~0ull, 0, ~0ull, 0, 0});
    corpus::Buffer<long long> t(std::vector<long long>{INT64_MAX, INT64_MIN});
    integers<<<kBlocks, kThreads>>>(u, s, w, t);
    std::vector<u32> wu{0, 0, ~0u, 0, ~0u, 0, 0, 0, 0};
    std::vector<int> ws{0, INT32_MAX, INT32_MIN};
    std::vector<u64> ww{0, ~0ull, 0, ~0ull, 0, 0};
    std::vector<long long> wt{INT64_MAX, INT64_MIN};
    for (u32 i = 0; i < kAll; ++i) {
      const int v = static_cast<int>(i * 2654435761u);
      const u32 n = static_cast<u32>(v);
      wu[0] += i, wu[1] -= i * 3, wu[2] = std::min(wu[2], n), wu[3] = std::max(wu[3], n), wu[4] &= ~(1u << (i % 29));
      wu[5] |= 1u << (i % 31), wu[6] ^= n, wu[7] = wu[7] >= 100 ? 0 : wu[7] + 1,
                                           wu[8] = wu[8] == 0 || wu[8] > 50 ? 50 : wu[8] - 1;
      ws[0] = static_cast<int>(static_cast<u32>(ws[0]) + n), ws[1] = std::min(ws[1], v), ws[2] = std::max(ws[2], v);
      ww[0] += i * 0x100000001ull, ww[1] = std::min(ww[1], static_cast<u64>(n) << 20),
                                   ww[2] = std::max(ww[2], static_cast<u64>(n) << 20);
      ww[3] &= ~(1ull << (i % 61)), ww[4] |= 1ull << (i % 63), ww[5] ^= static_cast<u64>(v);
      wt[0] = std::min(wt[0], static_cast<long long>(v) * 512),
      wt[1] = std::max(wt[1], static_cast<long long>(v) * 512);
    }
    corpus::exact("atomics_u32", u.values(), wu);
    corpus::exact("atomics_s32", s.values(), ws);
    corpus::exact("atomics_u64", w.values(), ww);
    corpus::exact("atomics_s64", t.values(), wt);
  }
  {
    corpus::Buffer<u32> out(4);
    scopes<<<kBlocks, kThreads>>>(out);
    u32 most = 0;
    for (u32 i = 0; i < kThreads; ++i) most = std::max(most, i * 7 % 91);
    corpus::exact(
        "atomic_scopes", out.values(),
        {kBlocks * (kThreads * (kThreads - 1) / 2), kBlocks * most, kBlocks * ((1u << 20) - 1), kBlocks * 77});
  }
  {
    corpus::Buffer<u32> counter(1), seen(kAll);
    tickets<<<kBlocks, kThreads>>>(counter, seen);
    std::vector<u32> wanted(kAll);
    for (u32 i = 0; i < kAll; ++i) wanted[i] = i + 1;
    corpus::exact("tickets", seen.values(), wanted);
  }
  {
    corpus::Buffer<u64> sum(1);
    corpus::Buffer<unsigned short> narrow(2);
    compare_and_swap<<<kBlocks, kThreads>>>(sum, narrow);
    corpus::exact("compare_and_swap", sum.values(), {static_cast<u64>(kBlocks) * kThreads * (kThreads + 1) / 2});
    corpus::exact("compare_and_swap_16", narrow.values(), {static_cast<unsigned short>(3 * kAll), 0});
  }
  {
    corpus::Buffer<int> lock(1);
    corpus::Buffer<u32> plain(1);
    spin_lock<<<2, 64>>>(lock, plain);
    corpus::exact("spin_lock", plain.values(), {2u * 64 * 63 / 2});
  }
  {
    corpus::Buffer<float> f(2);
    corpus::Buffer<double> d(1);
    corpus::Buffer<__half2> h(1);
    corpus::Buffer<__half> h1(2);
    floats<<<kBlocks, kThreads>>>(f, d, h, h1);
    corpus::exact("atomics_float", f.values(), {kAll / 16 * 120 * 0.25f, 5.0f});
    corpus::exact("atomics_double", d.values(), {kAll * (kAll - 1) / 2 * 0.125});
    corpus::exact("atomics_half2", h.values(), {__floats2half2_rn(kAll / 2, kAll / 2)});
    corpus::exact("atomics_half", h1.values(), {__float2half(kAll), __float2half(0)});
  }
  if (corpus::architecture() >= 800) {
    corpus::Buffer<__nv_bfloat162> b(1);
    bfloats<<<1, 128>>>(b);
    corpus::exact("atomics_bfloat2", b.values(), {__floats2bfloat162_rn(64, 128)});
  }
  {
    corpus::Buffer<u32> data(4), out(1);
    corpus::Buffer<int> flag(1);
    library_atomics<<<1, 128>>>(data, flag, out);
    corpus::exact("library_atomics", data.values(), {256, 635, 128, 4711});
    corpus::exact("release_acquire", out.values(), {4711u});
  }
  {
    const auto in = corpus::any_bits<u32>(kAll);
    const corpus::Buffer<u32> device_in(in);
    corpus::Buffer<u32> partial(kBlocks), counter(1), out(1);
    last_block<<<kBlocks, kThreads>>>(device_in, partial, counter, out);
    u32 total = 0;
    for (u32 value : in) total += value;
    corpus::exact("last_block", out.values(), {total});
  }
  std::printf("atomics: ok\n");
}
