// A module of 256 kernels, each of which is found, asked about and launched.
#include <utility>
#include <vector>

#include "check.hpp"

template <int N>
__global__ void kernel(unsigned* values) {
  values[N] = values[N] * (2u * N + 1u) + static_cast<unsigned>(threadIdx.x) + N;
}

template <int N>
static void launch(unsigned* values) {
  cudaFuncAttributes attributes;
  CHECK(cudaFuncGetAttributes(&attributes, kernel<N>));
  kernel<N><<<1, 1>>>(values);
  CHECK(cudaGetLastError());
}

template <int... N>
static void launch_all(unsigned* values, std::integer_sequence<int, N...>) {
  (launch<N>(values), ...);
}

int main() {
  constexpr int kKernels = 256;
  std::vector<unsigned> values(kKernels, 3);
  unsigned* device;
  CHECK(cudaMalloc(&device, kKernels * sizeof(unsigned)));
  CHECK(cudaMemcpy(device, values.data(), kKernels * sizeof(unsigned), cudaMemcpyHostToDevice));
  for (int round = 0; round < 2; ++round) launch_all(device, std::make_integer_sequence<int, kKernels>());
  CHECK(cudaMemcpy(values.data(), device, kKernels * sizeof(unsigned), cudaMemcpyDeviceToHost));
  for (unsigned i = 0; i < kKernels; ++i) {
    const unsigned factor = 2 * i + 1;
    const unsigned wanted = (3 * factor + i) * factor + i;
    REQUIRE(values[i] == wanted, "kernel %u left %u, not %u", i, values[i], wanted);
  }
  CHECK(cudaFree(device));
  std::printf("many_kernels: ok, %d kernels launched twice\n", kKernels);
  return 0;
}
