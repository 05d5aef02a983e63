// c = a + b, with a number of elements that fills no block exactly, read back and compared with the CPU's sums.
#include <vector>

#include "check.hpp"

__global__ void add(const float* a, const float* b, float* c, int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) c[i] = a[i] + b[i];
}

int main(int argc, char** argv) {
  const int count = argc > 1 ? std::atoi(argv[1]) : 200003;
  REQUIRE(count > 0, "the number of elements must be positive");
  const size_t bytes = static_cast<size_t>(count) * sizeof(float);
  std::vector<float> a(count), b(count), c(count);
  Numbers numbers(1);
  for (int i = 0; i < count; ++i) {
    a[i] = numbers.next_float();
    b[i] = numbers.next_float();
  }
  float *device_a, *device_b, *device_c;
  CHECK(cudaMalloc(&device_a, bytes));
  CHECK(cudaMalloc(&device_b, bytes));
  CHECK(cudaMalloc(&device_c, bytes));
  CHECK(cudaMemcpy(device_a, a.data(), bytes, cudaMemcpyHostToDevice));
  CHECK(cudaMemcpy(device_b, b.data(), bytes, cudaMemcpyHostToDevice));
  add<<<(count + 255) / 256, 256>>>(device_a, device_b, device_c, count);
  CHECK(cudaGetLastError());
  CHECK(cudaMemcpy(c.data(), device_c, bytes, cudaMemcpyDeviceToHost));
  double sum = 0;
  for (int i = 0; i < count; ++i) {
    REQUIRE(c[i] == a[i] + b[i], "element %d is %g, not %g", i, c[i], a[i] + b[i]);
    sum += c[i];
  }
  CHECK(cudaFree(device_a));
  CHECK(cudaFree(device_b));
  CHECK(cudaFree(device_c));
  std::printf("vector_add: ok, %d elements, sum %.6f\n", count, sum);
  return 0;
}
