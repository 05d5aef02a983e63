// about: Thrust and CUB in C++: sort, scan, reduce, unique, set operations, transformations, streams, asynchronous
// memory
#include <thrust/device_vector.h>
#include <thrust/execution_policy.h>
#include <thrust/reduce.h>
#include <thrust/scan.h>
#include <thrust/sort.h>
#include <thrust/unique.h>

#include <algorithm>
#include <cub/cub.cuh>
#include <numeric>

#include "results.h"

template <typename T>
std::vector<T> host(const thrust::device_vector<T>& values) {
  std::vector<T> copy(values.size());
  thrust::copy(values.begin(), values.end(), copy.begin());
  return copy;
}

int main() {
  const auto source = numbers(300000, 31);
  std::vector<int> keys;
  for (const float value : source) keys.push_back(static_cast<int>(value * 5000));
  thrust::device_vector<float> values(source.begin(), source.end());
  thrust::device_vector<int> numbers_on_gpu(keys.begin(), keys.end());

  thrust::sort_by_key(numbers_on_gpu.begin(), numbers_on_gpu.end(), values.begin());
  auto sorted = keys;
  std::sort(sorted.begin(), sorted.end());
  check("sort", host(numbers_on_gpu), sorted, 0);
  give("sort", host(numbers_on_gpu));
  thrust::device_vector<int> sums(keys.size());
  thrust::inclusive_scan(numbers_on_gpu.begin(), numbers_on_gpu.end(), sums.begin());
  std::vector<int> wanted(keys.size());
  std::partial_sum(sorted.begin(), sorted.end(), wanted.begin());
  check("scan", host(sums), wanted, 0);
  const auto end = thrust::unique(numbers_on_gpu.begin(), numbers_on_gpu.end());
  const auto unique_end = std::unique(sorted.begin(), sorted.end());
  check("unique", std::vector<long>{end - numbers_on_gpu.begin()}, std::vector<long>{unique_end - sorted.begin()}, 0);

  cudaStream_t stream;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  const float largest =
      thrust::reduce(thrust::cuda::par.on(stream), values.begin(), values.end(), -1e9f, thrust::maximum<float>());
  check("largest", std::vector<float>{largest}, std::vector<float>{*std::max_element(source.begin(), source.end())}, 0);

  void* workspace = nullptr;
  std::size_t size = 0;
  float* sum = nullptr;
  const float* data = thrust::raw_pointer_cast(values.data());
  CHECK(cub::DeviceReduce::Sum(nullptr, size, data, sum, source.size(), stream));
  CHECK(cudaMallocAsync(&workspace, size, stream));
  CHECK(cudaMallocAsync(reinterpret_cast<void**>(&sum), sizeof(float), stream));
  CHECK(cub::DeviceReduce::Sum(workspace, size, data, sum, source.size(), stream));
  std::vector<float> result(1);
  CHECK(cudaMemcpyAsync(result.data(), sum, sizeof(float), cudaMemcpyDeviceToHost, stream));
  CHECK(cudaFreeAsync(workspace, stream));
  CHECK(cudaFreeAsync(sum, stream));
  CHECK(cudaStreamSynchronize(stream));
  give("sum", result, 1e-5);
  CHECK(cudaStreamDestroy(stream));
}
