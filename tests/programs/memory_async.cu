// Memory from the device's default pool in stream order: allocated, used and freed without waiting, and handed from one
// stream to another behind an event.
#include <vector>

#include "check.hpp"

__global__ void fill(unsigned* values, int count, unsigned seed) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) values[i] = seed + i;
}

__global__ void add_from(unsigned* target, const unsigned* source, int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) target[i] += source[i];
}

int main() {
  int supported = 0;
  CHECK(cudaDeviceGetAttribute(&supported, cudaDevAttrMemoryPoolsSupported, 0));
  REQUIRE(supported == 1, "the device has no memory pools");
  cudaMemPool_t pool;
  CHECK(cudaDeviceGetDefaultMemPool(&pool, 0));
  unsigned long long threshold = 1ull << 26;
  CHECK(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &threshold));
  threshold = 0;
  CHECK(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &threshold));
  REQUIRE(threshold == 1ull << 26, "the release threshold is %llu", threshold);

  const int count = 20000;
  const size_t bytes = count * sizeof(unsigned);
  const int blocks = (count + 255) / 256;
  cudaStream_t a, b;
  cudaEvent_t event;
  CHECK(cudaStreamCreateWithFlags(&a, cudaStreamNonBlocking));
  CHECK(cudaStreamCreateWithFlags(&b, cudaStreamNonBlocking));
  CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  unsigned* total;
  CHECK(cudaMallocAsync(&total, bytes, a));
  CHECK(cudaMemsetAsync(total, 0, bytes, a));
  const int rounds = 20;
  for (int round = 0; round < rounds; ++round) {
    unsigned* part;
    CHECK(cudaMallocAsync(&part, bytes, a));
    fill<<<blocks, 256, 0, a>>>(part, count, round);
    add_from<<<blocks, 256, 0, a>>>(total, part, count);
    CHECK(cudaGetLastError());
    CHECK(cudaFreeAsync(part, a));
  }
  unsigned* shared;
  CHECK(cudaMallocAsync(&shared, bytes, b));
  fill<<<blocks, 256, 0, b>>>(shared, count, 1000);
  CHECK(cudaEventRecord(event, b));
  CHECK(cudaStreamWaitEvent(a, event, 0));
  add_from<<<blocks, 256, 0, a>>>(total, shared, count);
  CHECK(cudaFreeAsync(shared, a));
  std::vector<unsigned> got(count);
  CHECK(cudaMemcpyAsync(got.data(), total, bytes, cudaMemcpyDeviceToHost, a));
  CHECK(cudaFreeAsync(total, a));
  CHECK(cudaStreamSynchronize(a));
  for (int i = 0; i < count; ++i) {
    const unsigned wanted = rounds * (rounds - 1) / 2 + rounds * i + 1000 + i;
    REQUIRE(got[i] == wanted, "element %d is %u, not %u", i, got[i], wanted);
  }
  CHECK(cudaMemPoolTrimTo(pool, 0));
  unsigned long long used = 1;
  CHECK(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &used));
  REQUIRE(used == 0, "%llu bytes of the pool are still in use", used);
  // Memory of the pool may be freed by cudaFree too.
  void* pooled;
  CHECK(cudaMallocAsync(&pooled, 4096, a));
  CHECK(cudaStreamSynchronize(a));
  CHECK(cudaFree(pooled));
  CHECK(cudaEventDestroy(event));
  CHECK(cudaStreamDestroy(a));
  CHECK(cudaStreamDestroy(b));
  std::printf("memory_async: ok, %d allocations in stream order\n", rounds + 2);
  return 0;
}
