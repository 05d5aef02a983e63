// Does a known number of things, so that counters can be compared with it: prints what it did.
// Arguments: launches, bytes to copy to the device.
#include <vector>

#include "check.hpp"

__global__ void increment(unsigned char* bytes, size_t count) {
  const size_t i = blockIdx.x * static_cast<size_t>(blockDim.x) + threadIdx.x;
  if (i < count) ++bytes[i];
}

int main(int argc, char** argv) {
  const int launches = argc > 1 ? std::atoi(argv[1]) : 7;
  const size_t bytes = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 100001;
  REQUIRE(launches > 0 && bytes > 16, "arguments: LAUNCHES BYTES");
  std::vector<unsigned char> source(bytes), target(bytes);
  for (size_t i = 0; i < bytes; ++i) source[i] = static_cast<unsigned char>(i * 7);
  unsigned char *a, *b;
  CHECK(cudaMalloc(&a, bytes));
  CHECK(cudaMalloc(&b, bytes));
  CHECK(cudaMemcpy(a, source.data(), bytes, cudaMemcpyHostToDevice));
  CHECK(cudaMemcpy(b, source.data(), 11, cudaMemcpyHostToDevice));
  for (int i = 0; i < launches; ++i) increment<<<(bytes + 255) / 256, 256>>>(a, bytes);
  CHECK(cudaGetLastError());
  CHECK(cudaMemcpy(b, a, bytes, cudaMemcpyDeviceToDevice));
  CHECK(cudaMemcpy(target.data(), b, bytes, cudaMemcpyDeviceToHost));
  CHECK(cudaMemcpy(source.data(), b, 13, cudaMemcpyDeviceToHost));
  for (size_t i = 0; i < bytes; ++i) {
    const unsigned char wanted = static_cast<unsigned char>(i * 7 + launches);
    REQUIRE(target[i] == wanted, "byte %zu is %d, not %d", i, target[i], wanted);
  }
  CHECK(cudaFree(a));
  CHECK(cudaFree(b));
  std::printf("counted: ok, kernels_launched=%d host_to_device=%zu device_to_host=%zu device_to_device=%zu\n", launches,
              bytes + 11, bytes + 13, bytes);
  return 0;
}
