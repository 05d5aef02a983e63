// Pools of a program's own beside the device's default one: allocation in stream order, statistics, limits, trimming.
#include <vector>

#include "driver.hpp"

__global__ void add(int* values, int count, int by) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) values[i] += by;
}

static unsigned long long attribute(CUmemoryPool pool, CUmemPool_attribute which) {
  cuuint64_t value = 0;
  CU_CHECK(cuMemPoolGetAttribute, pool, which, &value);
  return value;
}

int main() {
  CHECK(cudaSetDevice(0));
  CHECK(cudaFree(nullptr));
  int able = 0;
  CU_CHECK(cuDeviceGetAttribute, &able, CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, 0);
  REQUIRE(able == 1, "the device has no memory pools");

  CUmemPoolProps properties{};
  properties.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  properties.location.id = 0;
  CUmemoryPool pool = nullptr;
  CU_CHECK(cuMemPoolCreate, &pool, &properties);
  REQUIRE(attribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD) == 0, "a threshold that nobody set");
  cuuint64_t threshold = ~0ull;
  CU_CHECK(cuMemPoolSetAttribute, pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold);
  REQUIRE(attribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD) == ~0ull, "the threshold");
  int reuse = 0;
  CU_CHECK(cuMemPoolSetAttribute, pool, CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC, &reuse);
  reuse = 1;
  CU_CHECK(cuMemPoolGetAttribute, pool, CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC, &reuse);
  REQUIRE(reuse == 0, "the reuse flag");

  CUstream stream = nullptr;
  CU_CHECK(cuStreamCreate, &stream, CU_STREAM_NON_BLOCKING);
  constexpr int kCount = 1 << 20;
  constexpr size_t kBytes = kCount * sizeof(int);
  CUdeviceptr memory = 0;
  CU_CHECK(cuMemAllocFromPoolAsync, &memory, kBytes, pool, stream);
  CU_CHECK(cuMemsetD32Async, memory, 40, kCount, stream);
  add<<<kCount / 256, 256, 0, reinterpret_cast<cudaStream_t>(stream)>>>(reinterpret_cast<int*>(memory), kCount, 2);
  std::vector<int> values(kCount);
  CU_CHECK(cuMemcpyDtoHAsync, values.data(), memory, kBytes, stream);
  CU_CHECK(cuStreamSynchronize, stream);
  for (const int value : values) REQUIRE(value == 42, "a value of %d", value);
  CUmemoryPool found = nullptr;
  CU_CHECK(cuPointerGetAttribute, &found, CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE, memory);
  REQUIRE(found == pool, "the pool that memory came from");
  REQUIRE(attribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT) >= kBytes, "used memory");
  CU_CHECK(cuMemFreeAsync, memory, stream);
  CU_CHECK(cuStreamSynchronize, stream);
  REQUIRE(attribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT) == 0, "used memory after all is freed");
  REQUIRE(attribute(pool, CU_MEMPOOL_ATTR_USED_MEM_HIGH) >= kBytes, "the most that was used");
  // The threshold keeps it until it is trimmed.
  REQUIRE(attribute(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT) >= kBytes, "reserved memory");
  CU_CHECK(cuMemPoolTrimTo, pool, 0);
  REQUIRE(attribute(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT) == 0, "reserved memory after trimming");

  // A device's current pool is the one that cudaMallocAsync takes.
  CUmemoryPool original = nullptr;
  CU_CHECK(cuDeviceGetMemPool, &original, 0);
  CUmemoryPool by_default = nullptr;
  CU_CHECK(cuDeviceGetDefaultMemPool, &by_default, 0);
  REQUIRE(original == by_default, "a pool that nobody set");
  CU_CHECK(cuDeviceSetMemPool, 0, pool);
  void* from_runtime = nullptr;
  CHECK(cudaMallocAsync(&from_runtime, 1 << 20, reinterpret_cast<cudaStream_t>(stream)));
  CU_CHECK(cuPointerGetAttribute, &found, CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE,
           reinterpret_cast<CUdeviceptr>(from_runtime));
  REQUIRE(found == pool, "the device's pool");
  CHECK(cudaFreeAsync(from_runtime, reinterpret_cast<cudaStream_t>(stream)));
  CU_CHECK(cuStreamSynchronize, stream);
  CU_CHECK(cuDeviceSetMemPool, 0, original);

  CUmemAccess_flags access{};
  CU_CHECK(cuMemPoolGetAccess, &access, pool, &properties.location);
  REQUIRE(access == CU_MEM_ACCESS_FLAGS_PROT_READWRITE, "access %d", static_cast<int>(access));
  CU_EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemAllocFromPoolAsync, &memory, 0, pool, stream);
  CU_CHECK(cuMemPoolDestroy, pool);
  CU_CHECK(cuStreamDestroy, stream);
  std::printf("memory_pools: ok %d values\n", kCount);
  return 0;
}
