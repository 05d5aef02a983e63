// Kernels of the tests, one for each thing that the driver API must carry to the interpreter.

struct Shape {
  char tag;
  double factor;
  int offset;
};

__device__ int counter = 41;
__device__ int table[4] = {1, 2, 3, 4};
__constant__ float weights[3] = {0.5f, 1.5f, 2.5f};

extern "C" __global__ void empty() {}

extern "C" __global__ void add(const float* a, const float* b, float* sum, unsigned n) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) sum[i] = a[i] + b[i];
}

extern "C" __global__ void increment(unsigned* values, unsigned n) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) ++values[i];
}

/// Waits until the host, or another kernel, writes to the flag.
extern "C" __global__ void wait_for(volatile unsigned* flag) {
  while (*flag == 0) {
  }
}

extern "C" __global__ void set(unsigned* value, unsigned to) { *value = to; }

extern "C" __global__ void apply(Shape shape, double* values) {
  values[threadIdx.x] = values[threadIdx.x] * shape.factor + shape.offset + shape.tag;
}

extern "C" __global__ void use_globals(float* out) {
  out[threadIdx.x] = weights[threadIdx.x] * static_cast<float>(table[threadIdx.x]) + static_cast<float>(counter);
}

extern "C" __global__ void reverse(int* values) {
  extern __shared__ int shared[];
  shared[threadIdx.x] = values[threadIdx.x];
  __syncthreads();
  values[threadIdx.x] = shared[blockDim.x - 1 - threadIdx.x];
}

extern "C" __global__ void with_static_shared(int* values) {
  __shared__ int shared[1024];
  shared[threadIdx.x] = values[threadIdx.x];
  __syncthreads();
  values[threadIdx.x] = shared[blockDim.x - 1 - threadIdx.x];
}

extern "C" __global__ void __launch_bounds__(128) at_most_128(int* value) { *value = static_cast<int>(blockDim.x); }

extern "C" __global__ void write_to(int* address) { *address = 1; }

extern "C" __global__ void trap() { asm volatile("trap;"); }
