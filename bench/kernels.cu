// What the interpreter and vgpu-bench are measured with: each kernel but `empty` is mostly one family of instructions,
// as nvcc emits it. The numbers stay ordinary ones: processors take much longer over subnormal ones.
#include <cuda_fp16.h>

extern "C" __global__ void empty() {}

extern "C" __global__ void integer(unsigned* out, unsigned rounds) {
  unsigned a = threadIdx.x, b = blockIdx.x | 1;
  for (unsigned i = 0; i < rounds; ++i) {
    a = a * 1664525u + b;
    b = (b << 3) ^ (a >> 5);
    a = a + (b & i);
  }
  out[blockIdx.x * blockDim.x + threadIdx.x] = a ^ b;
}

extern "C" __global__ void single(unsigned* out, unsigned rounds) {
  float a = threadIdx.x, b = 0.5f, c = 1.0f;
  for (unsigned i = 0; i < rounds; ++i) {
    a = a * b + c;
    b = b * 0.25f + 0.375f;
    c = 1.0f - a * 0.125f;
  }
  out[blockIdx.x * blockDim.x + threadIdx.x] = __float_as_uint(a + b + c);
}

extern "C" __global__ void doubles(unsigned* out, unsigned rounds) {
  double a = threadIdx.x, b = 0.5, c = 1.0;
  for (unsigned i = 0; i < rounds; ++i) {
    a = a * b + c;
    b = b * 0.25 + 0.375;
    c = 1.0 - a * 0.125;
  }
  out[blockIdx.x * blockDim.x + threadIdx.x] = static_cast<unsigned>(__double_as_longlong(a + b + c) >> 20);
}

extern "C" __global__ void halves(unsigned* out, unsigned rounds) {
  __half2 a = __floats2half2_rn(threadIdx.x * 0.001f, 0.25f), b = __floats2half2_rn(0.5f, 0.75f);
  for (unsigned i = 0; i < rounds; ++i) {
    a = __hfma2(a, b, b);
    b = __hmul2(b, a);
    a = __hsub2(a, b);
  }
  const float2 sum = __half22float2(__hadd2(a, b));
  out[blockIdx.x * blockDim.x + threadIdx.x] = __float_as_uint(sum.x + sum.y);
}

// Neighbouring lanes at neighbouring addresses, as well-written kernels do.
extern "C" __global__ void memory(unsigned* out, unsigned rounds) {
  const unsigned size = gridDim.x * blockDim.x;
  unsigned at = blockIdx.x * blockDim.x + threadIdx.x;
  for (unsigned i = 0; i < rounds; ++i) {
    out[at] = out[at] * 3 + i;
    at += blockDim.x;
    if (at >= size) at -= size;
  }
}

extern "C" __global__ void shared(unsigned* out, unsigned rounds) {
  __shared__ unsigned tile[256];
  tile[threadIdx.x] = threadIdx.x;
  __syncthreads();
  for (unsigned i = 0; i < rounds; ++i) {
    const unsigned other = tile[(threadIdx.x + i) % 256];
    __syncthreads();
    tile[threadIdx.x] += other;
    __syncthreads();
  }
  out[blockIdx.x * blockDim.x + threadIdx.x] = tile[threadIdx.x];
}

// Each lane goes round a different number of times, and half of them another way.
extern "C" __global__ void divergent(unsigned* out, unsigned rounds) {
  unsigned a = threadIdx.x;
  const unsigned mine = rounds / 2 + threadIdx.x % 32 * (rounds / 64);
  for (unsigned i = 0; i < mine; ++i) {
    if ((a ^ i) & 1) {
      a = a * 5 + 1;
    } else {
      a = (a >> 1) ^ i;
    }
  }
  out[blockIdx.x * blockDim.x + threadIdx.x] = a;
}

extern "C" __global__ void atomics(unsigned* out, unsigned rounds) {
  for (unsigned i = 0; i < rounds; ++i) atomicAdd(out + (threadIdx.x * 7 + i) % 256, i);
}

extern "C" __global__ void shuffles(unsigned* out, unsigned rounds) {
  unsigned a = threadIdx.x;
  for (unsigned i = 0; i < rounds; ++i) a += __shfl_xor_sync(0xffffffffu, a, i % 32);
  out[blockIdx.x * blockDim.x + threadIdx.x] = a;
}
