// Small kernels, one for each thing that a program can't do without.
#include <cstdio>

extern "C" __global__ void vector_add(const float* a, const float* b, float* c, int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) c[i] = a[i] + b[i];
}

constexpr int kTile = 16;
extern "C" __global__ void matrix_product(const float* a, const float* b, float* c, int n) {
  __shared__ float tile_a[kTile][kTile];
  __shared__ float tile_b[kTile][kTile + 1];
  const int row = blockIdx.y * kTile + threadIdx.y;
  const int column = blockIdx.x * kTile + threadIdx.x;
  float sum = 0;
  for (int t = 0; t < n; t += kTile) {
    tile_a[threadIdx.y][threadIdx.x] = row < n && t + threadIdx.x < n ? a[row * n + t + threadIdx.x] : 0;
    tile_b[threadIdx.y][threadIdx.x] = column < n && t + threadIdx.y < n ? b[(t + threadIdx.y) * n + column] : 0;
    __syncthreads();
    for (int k = 0; k < kTile; ++k) sum += tile_a[threadIdx.y][k] * tile_b[k][threadIdx.x];
    __syncthreads();
  }
  if (row < n && column < n) c[row * n + column] = sum;
}

extern "C" __global__ void reduce(const int* values, int count, int* total) {
  __shared__ int parts[32];
  int sum = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) sum += values[i];
  for (int step = 16; step > 0; step /= 2) sum += __shfl_down_sync(~0u, sum, step);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x < 32) {
    sum = threadIdx.x < blockDim.x / 32 ? parts[threadIdx.x] : 0;
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(~0u, sum, step);
    if (threadIdx.x == 0) atomicAdd(total, sum);
  }
}

extern "C" __global__ void histogram(const unsigned char* bytes, int count, unsigned* bins) {
  extern __shared__ unsigned local_bins[];
  for (int i = threadIdx.x; i < 256; i += blockDim.x) local_bins[i] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    atomicAdd(&local_bins[bytes[i]], 1u);
  }
  __syncthreads();
  for (int i = threadIdx.x; i < 256; i += blockDim.x) atomicAdd(&bins[i], local_bins[i]);
}

__device__ __noinline__ int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }
extern "C" __global__ void recursion(int* out) { out[threadIdx.x] = fibonacci(threadIdx.x % 15); }

__device__ __noinline__ int add_one(int x) { return x + 1; }
__device__ __noinline__ int twice(int x) { return 2 * x; }
__device__ __noinline__ int negative(int x) { return -x; }
__device__ int (*table[3])(int) = {add_one, twice, negative};
extern "C" __global__ void function_pointers(int* out) { out[threadIdx.x] = table[threadIdx.x % 3](threadIdx.x); }

extern "C" __global__ void print(int number, double real, unsigned long long large) {
  if (threadIdx.x < 2) {
    printf("thread %u: %d %5.2f %llx %s %c %%\n", threadIdx.x, number, real, large, threadIdx.x != 0 ? "odd" : "even",
           'x');
  }
}

// Every way to leave and meet again: loops of different lengths, break, continue, early return, switch, nested
// barriers.
extern "C" __global__ void divergence(int* out, int rounds) {
  __shared__ int meeting[8];
  const int lane = threadIdx.x;
  int x = lane;
  if (lane < 8) meeting[lane] = 0;
  __syncthreads();
  for (int i = 0; i < rounds; ++i) {
    if ((x & 1) == 0) {
      x = x / 2;
      if (x % 5 == 3) continue;
    } else {
      x = 3 * x + 1;
      for (int k = 0; k < lane % 4; ++k) {
        x += k;
        if (x % 7 == 0) break;
      }
    }
    switch ((x + lane) % 6) {
      case 0:
        x += 1;
        break;
      case 1:
        x ^= lane;
        break;
      case 2:
        x -= 2;
        [[fallthrough]];
      case 3:
        x += __popc(x);
        break;
      case 4:
        if (lane > 20 && i > 5) goto out;
        break;
      default:
        x = x < 0 ? -x : x;
        break;
    }
    x &= 0xffff;
  }
out:
  if (lane % 13 == 12) {
    out[lane] = x;
    return;
  }
  atomicAdd(&meeting[lane % 8], x);
  __syncthreads();
  int sum = 0;
  for (int i = 0; i < 8; ++i) sum += meeting[i];
  out[lane] = x;
  if (lane == 0) out[blockDim.x] = sum;
}

// Lanes of one warp take a lock in turn: no lane may starve another.
__device__ int lock_word;
extern "C" __global__ void warp_lock(int* counter) {
  bool done = false;
  while (!done) {
    if (atomicCAS(&lock_word, 0, 1) == 0) {
      *(volatile int*)counter = *(volatile int*)counter + 1;
      __threadfence();
      atomicExch(&lock_word, 0);
      done = true;
    }
  }
}
extern "C" __global__ void warp_lock_spin(int* counter) {
  while (atomicCAS(&lock_word, 0, 1) != 0) {
  }
  *(volatile int*)counter = *(volatile int*)counter + 1;
  __threadfence();
  atomicExch(&lock_word, 0);
}

// One warp waits on shared memory for another.
extern "C" __global__ void warp_waits(int* out) {
  __shared__ volatile int flag;
  if (threadIdx.x == 0) flag = 0;
  __syncthreads();
  if (threadIdx.x < 32) {
    while (flag == 0) {
    }
    out[threadIdx.x] = flag;
  } else if (threadIdx.x == 40) {
    flag = 7;
  }
}

extern "C" __global__ void partial_masks(int* out) {
  const int lane = threadIdx.x % 32;
  int value = lane;
  if (lane < 16) {
    value = __shfl_xor_sync(0xffffu, value, 1);
    if (lane < 8) {
      value += __reduce_add_sync(0xffu, lane);
      __syncwarp(0xffu);
    }
    __syncwarp(0xffffu);
  } else {
    value += __popc(__ballot_sync(0xffff0000u, lane % 3 == 0));
  }
  __syncwarp();
  out[threadIdx.x] = value + __popc(__match_any_sync(~0u, lane / 4)) + (__all_sync(~0u, lane < 32) ? 1000 : 0);
}

struct Big {
  int words[20];
};
__device__ __noinline__ int sum_of(Big big, int from) {
  int sum = 0;
  for (int i = from; i < 20; ++i) sum += big.words[i];
  return sum;
}
__device__ __noinline__ Big make_big(int seed) {
  Big big;
  for (int i = 0; i < 20; ++i) big.words[i] = seed * i;
  return big;
}
extern "C" __global__ void structures(Big given, int* out) {
  const Big made = make_big(threadIdx.x);
  out[threadIdx.x] = sum_of(made, threadIdx.x % 20) + sum_of(given, 0) + given.words[threadIdx.x % 20];
}

__constant__ int constants[4] = {10, 20, 30, 40};
__device__ int global_counter = 5;
__device__ int* pointer_to_counter = &global_counter;
__device__ double matrix[2][3] = {{1, 2}, {4, 5, 6}};
extern "C" __global__ void variables(double* out) {
  if (threadIdx.x == 0) *pointer_to_counter += 1;
  __syncthreads();
  out[threadIdx.x] = constants[threadIdx.x % 4] + global_counter + matrix[threadIdx.x % 2][threadIdx.x % 3];
}

extern "C" __global__ void early_exit(int* out) {
  if (threadIdx.x >= 40) return;
  __shared__ int sum;
  if (threadIdx.x == 0) sum = 0;
  __syncthreads();
  atomicAdd(&sum, 1);
  __syncthreads();
  out[threadIdx.x] = sum;
}
