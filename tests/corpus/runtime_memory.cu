// Memory by the runtime's calls: managed, pools and cudaMallocAsync, page-locked, registered; virtual memory by the
// driver's.
#include <cuda.h>

#include "corpus.hpp"

using corpus::Buffer;

namespace {
constexpr int kCount = 4096;
}

__managed__ int shared_counter = 5;
__managed__ int shared_cells[256];

__global__ void add_one(int* values, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) values[i] += 1 + i;
}
__global__ void use_managed(int times) {
  atomicAdd(&shared_counter, times);
  shared_cells[threadIdx.x] += static_cast<int>(threadIdx.x) * times;
}

static std::vector<int> after(int rounds, int start) {
  std::vector<int> values(kCount);
  for (int i = 0; i < kCount; ++i) values[i] = start + rounds * (1 + i);
  return values;
}

static void managed() {
  int* values = nullptr;
  CHECK(cudaMallocManaged(&values, kCount * sizeof(int)));
  for (int i = 0; i < kCount; ++i) values[i] = 10;
  cudaMemLocation device = {}, host = {};
  device.type = cudaMemLocationTypeDevice, device.id = 0;
  host.type = cudaMemLocationTypeHost;
  CHECK(cudaMemAdvise(values, kCount * sizeof(int), cudaMemAdviseSetPreferredLocation, device));
  CHECK(cudaMemPrefetchAsync(values, kCount * sizeof(int), device, 0, nullptr));
  add_one<<<kCount / 128, 128>>>(values, kCount);
  CHECK(cudaMemPrefetchAsync(values, kCount * sizeof(int), host, 0, nullptr));
  CHECK(cudaDeviceSynchronize());
  corpus::exact("managed", std::vector<int>(values, values + kCount), after(1, 10));
  // The host writes again, and what it wrote is seen; a copy and a memset reach it too.
  for (int i = 0; i < kCount; ++i) values[i] = -i;
  add_one<<<kCount / 128, 128>>>(values, kCount);
  CHECK(cudaDeviceSynchronize());
  corpus::exact("managed_again", std::vector<int>(values, values + kCount), std::vector<int>(kCount, 1));
  CHECK(cudaMemset(values, 0xff, kCount * 2));
  CHECK(cudaDeviceSynchronize());
  REQUIRE(values[0] == -1 && values[kCount - 1] == 1, "memset of managed memory: %d, %d", values[0],
          values[kCount - 1]);
  cudaPointerAttributes attributes = {};
  CHECK(cudaPointerGetAttributes(&attributes, values));
  REQUIRE(attributes.type == cudaMemoryTypeManaged && attributes.hostPointer == values &&
              attributes.devicePointer == values,
          "attributes of managed memory: type %d", attributes.type);
  CHECK(cudaFree(values));

  shared_counter = 100;
  for (int i = 0; i < 256; ++i) shared_cells[i] = 1;
  use_managed<<<1, 256>>>(3);
  CHECK(cudaDeviceSynchronize());
  std::vector<int> wanted(256);
  for (int i = 0; i < 256; ++i) wanted[i] = 1 + 3 * i;
  corpus::exact("managed_variable", std::vector<int>{shared_counter}, std::vector<int>{100 + 3 * 256});
  corpus::exact("managed_array", std::vector<int>(shared_cells, shared_cells + 256), wanted);
}

static void pools() {
  cudaStream_t stream = nullptr;
  CHECK(cudaStreamCreate(&stream));
  int* values = nullptr;
  CHECK(cudaMallocAsync(&values, kCount * sizeof(int), stream));
  CHECK(cudaMemsetAsync(values, 0, kCount * sizeof(int), stream));
  add_one<<<kCount / 128, 128, 0, stream>>>(values, kCount);
  std::vector<int> host(kCount);
  CHECK(cudaMemcpyAsync(host.data(), values, kCount * sizeof(int), cudaMemcpyDeviceToHost, stream));
  CHECK(cudaFreeAsync(values, stream));
  CHECK(cudaStreamSynchronize(stream));
  corpus::exact("malloc_async", host, after(1, 0));

  cudaMemPoolProps properties = {};
  properties.allocType = cudaMemAllocationTypePinned;
  properties.location.type = cudaMemLocationTypeDevice;
  cudaMemPool_t pool = nullptr;
  CHECK(cudaMemPoolCreate(&pool, &properties));
  std::uint64_t threshold = ~0ull, used = 0, most = 0;
  CHECK(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &threshold));
  CHECK(cudaMallocFromPoolAsync(&values, kCount * sizeof(int), pool, stream));
  CHECK(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &used));
  REQUIRE(used >= kCount * sizeof(int), "a pool with an allocation uses %llu bytes", (unsigned long long)used);
  CHECK(cudaMemsetAsync(values, 0, kCount * sizeof(int), stream));
  for (int round = 0; round < 4; ++round) add_one<<<kCount / 128, 128, 0, stream>>>(values, kCount);
  CHECK(cudaMemcpyAsync(host.data(), values, kCount * sizeof(int), cudaMemcpyDeviceToHost, stream));
  CHECK(cudaFreeAsync(values, stream));
  CHECK(cudaStreamSynchronize(stream));
  corpus::exact("own_pool", host, after(4, 0));
  CHECK(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &used));
  CHECK(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemHigh, &most));
  REQUIRE(used == 0 && most >= kCount * sizeof(int), "a pool without allocations uses %llu", (unsigned long long)used);
  CHECK(cudaMemPoolTrimTo(pool, 0));
  CHECK(cudaMemPoolDestroy(pool));
  CHECK(cudaStreamDestroy(stream));
}

static void page_locked() {
  int *mapped = nullptr, *on_device = nullptr;
  CHECK(cudaHostAlloc(&mapped, kCount * sizeof(int), cudaHostAllocMapped));
  for (int i = 0; i < kCount; ++i) mapped[i] = 2;
  CHECK(cudaHostGetDevicePointer(&on_device, mapped, 0));
  add_one<<<kCount / 128, 128>>>(on_device, kCount);
  CHECK(cudaDeviceSynchronize());
  corpus::exact("mapped", std::vector<int>(mapped, mapped + kCount), after(1, 2));
  CHECK(cudaFreeHost(mapped));

  std::vector<int> own(kCount, 3);
  CHECK(cudaHostRegister(own.data(), kCount * sizeof(int), cudaHostRegisterMapped));
  CHECK(cudaHostGetDevicePointer(&on_device, own.data(), 0));
  add_one<<<kCount / 128, 128>>>(on_device, kCount);
  CHECK(cudaDeviceSynchronize());
  const cudaError_t twice = cudaHostRegister(own.data(), kCount * sizeof(int), cudaHostRegisterDefault);
  REQUIRE(twice == cudaErrorHostMemoryAlreadyRegistered, "registered twice: %s", cudaGetErrorName(twice));
  (void)cudaGetLastError();
  CHECK(cudaHostUnregister(own.data()));
  corpus::exact("registered", own, after(1, 3));
}

template <class Function>
static Function driver_call(const char* name, unsigned version) {
  void* entry = nullptr;
  cudaDriverEntryPointQueryResult result;
  CHECK(cudaGetDriverEntryPointByVersion(name, &entry, version, cudaEnableDefault, &result));
  REQUIRE(result == cudaDriverEntryPointSuccess, "%s is not found", name);
  return reinterpret_cast<Function>(entry);
}
#define DRIVER(call, ...)                                                             \
  do {                                                                                \
    const CUresult result_ = driver_call<decltype(&call)>(#call, 12000)(__VA_ARGS__); \
    REQUIRE(result_ == CUDA_SUCCESS, #call " gave %d", result_);                      \
  } while (0)

/// One physical allocation at two addresses, and a range that grows.
static void virtual_memory() {
  CUmemAllocationProp properties = {};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  std::size_t grain = 0;
  DRIVER(cuMemGetAllocationGranularity, &grain, &properties, CU_MEM_ALLOC_GRANULARITY_MINIMUM);
  CUmemGenericAllocationHandle first = 0, second = 0;
  DRIVER(cuMemCreate, &first, grain, &properties, 0);
  DRIVER(cuMemCreate, &second, grain, &properties, 0);
  CUdeviceptr range = 0, alias = 0;
  DRIVER(cuMemAddressReserve, &range, grain * 2, 0, 0, 0);
  DRIVER(cuMemAddressReserve, &alias, grain, 0, 0, 0);
  DRIVER(cuMemMap, range, grain, 0, first, 0);
  DRIVER(cuMemMap, range + grain, grain, 0, second, 0);
  DRIVER(cuMemMap, alias, grain, 0, second, 0);
  CUmemAccessDesc access = {};
  access.location = properties.location;
  access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  DRIVER(cuMemSetAccess, range, grain * 2, &access, 1);
  DRIVER(cuMemSetAccess, alias, grain, &access, 1);
  DRIVER(cuMemRelease, first);
  DRIVER(cuMemRelease, second);
  // Half of the integers lie in each allocation.
  int* const values = reinterpret_cast<int*>(range + grain) - kCount / 2;
  CHECK(cudaMemset(values, 0, kCount * sizeof(int)));
  add_one<<<kCount / 128, 128>>>(values, kCount);
  std::vector<int> host(kCount), half(kCount / 2);
  CHECK(cudaMemcpy(host.data(), values, kCount * sizeof(int), cudaMemcpyDeviceToHost));
  corpus::exact("mapped_range", host, after(1, 0));
  CHECK(cudaMemcpy(half.data(), reinterpret_cast<int*>(alias), kCount * 2, cudaMemcpyDeviceToHost));
  corpus::exact("mapped_twice", half, std::vector<int>(host.begin() + kCount / 2, host.end()));
  DRIVER(cuMemUnmap, range, grain * 2);
  DRIVER(cuMemUnmap, alias, grain);
  DRIVER(cuMemAddressFree, range, grain * 2);
  DRIVER(cuMemAddressFree, alias, grain);
}

int main() {
  CHECK(cudaFree(nullptr));
  managed();
  pools();
  page_locked();
  virtual_memory();
  std::printf("runtime_memory: ok\n");
}
