#include <sys/mman.h>

#include <cstring>

#include "fixture.hpp"

using softgpu_test::download;
using softgpu_test::Gpu;
using softgpu_test::upload;

namespace {

std::size_t available() {
  std::size_t free_bytes = 0;
  std::size_t total = 0;
  REQUIRE_OK(cuMemGetInfo(&free_bytes, &total));
  return free_bytes;
}

}  // namespace

TEST_CASE("memory: allocate, look up, free") {
  Gpu gpu(false);
  CUdeviceptr memory = 0;
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemAlloc(&memory, 0));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemAlloc(nullptr, 16));
  const std::size_t before = available();
  REQUIRE_OK(cuMemAlloc(&memory, 1000));
  CHECK(memory % 512 == 0);
  CHECK(available() == before - 1024);
  CUdeviceptr base = 0;
  std::size_t bytes = 0;
  CHECK_RESULT(CUDA_SUCCESS, cuMemGetAddressRange(&base, &bytes, memory + 999));
  CHECK(base == memory);
  CHECK(bytes == 1000);
  CHECK_RESULT(CUDA_ERROR_NOT_FOUND, cuMemGetAddressRange(&base, &bytes, memory + 1000));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemFree(memory + 512));
  CHECK_RESULT(CUDA_SUCCESS, cuMemFree(memory));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemFree(memory));
  CHECK_RESULT(CUDA_SUCCESS, cuMemFree(0));
  CHECK(available() == before);
}

TEST_CASE("memory: what is too much is refused, and the rest stays usable") {
  Gpu gpu(false);
  std::size_t total = 0;
  REQUIRE_OK(cuDeviceTotalMem(&total, 0));
  CUdeviceptr memory = 0;
  CHECK_RESULT(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc(&memory, total + 1));
  CHECK_RESULT(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc(&memory, SIZE_MAX));
  REQUIRE_OK(cuMemAlloc(&memory, total));
  CUdeviceptr more = 0;
  CHECK_RESULT(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc(&more, 1));
  REQUIRE_OK(cuMemFree(memory));
  CHECK_RESULT(CUDA_SUCCESS, cuMemAlloc(&more, 1));
}

TEST_CASE("memory: freed memory comes back as zero") {
  Gpu gpu(false);
  for (const std::size_t bytes : {std::size_t{100}, std::size_t{5000}, std::size_t{3} << 20}) {
    const auto memory = upload(std::vector<unsigned char>(bytes, 0xee));
    REQUIRE_OK(cuMemFree(memory));
    CUdeviceptr again = 0;
    REQUIRE_OK(cuMemAlloc(&again, bytes));
    CHECK(again == memory);
    CHECK(download<unsigned char>(again, bytes) == std::vector<unsigned char>(bytes, 0));
    REQUIRE_OK(cuMemFree(again));
  }
}

TEST_CASE("memory: holes are found and joined again") {
  Gpu gpu(false);
  const std::size_t before = available();
  std::vector<CUdeviceptr> blocks(200);
  for (std::size_t i = 0; i < blocks.size(); ++i) REQUIRE_OK(cuMemAlloc(&blocks[i], 512 + 700 * i));
  for (std::size_t i = 0; i < blocks.size(); i += 2) REQUIRE_OK(cuMemFree(blocks[i]));
  for (std::size_t i = 0; i < blocks.size(); i += 2) REQUIRE_OK(cuMemAlloc(&blocks[i], 512 + 600 * i));
  for (const CUdeviceptr block : blocks) REQUIRE_OK(cuMemFree(block));
  CHECK(available() == before);
  CUdeviceptr all = 0;
  CHECK_RESULT(CUDA_SUCCESS, cuMemAlloc(&all, before));
}

TEST_CASE("memory: pitched") {
  Gpu gpu(false);
  CUdeviceptr memory = 0;
  std::size_t pitch = 0;
  REQUIRE_OK(cuMemAllocPitch(&memory, &pitch, 700, 10, 4));
  CHECK(pitch >= 700);
  CHECK(pitch % 512 == 0);
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemAllocPitch(&memory, &pitch, 700, 10, 3));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemAllocPitch(&memory, &pitch, 0, 10, 4));
  CHECK_RESULT(CUDA_ERROR_OUT_OF_MEMORY, cuMemAllocPitch(&memory, &pitch, 700, SIZE_MAX / 4, 4));
}

TEST_CASE("memory: page-locked host memory") {
  Gpu gpu(false);
  void* host = nullptr;
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemHostAlloc(&host, 64, 0x80));
  REQUIRE_OK(cuMemHostAlloc(&host, 10000, CU_MEMHOSTALLOC_PORTABLE));
  unsigned flags = 0;
  CHECK_RESULT(CUDA_SUCCESS, cuMemHostGetFlags(&flags, host));
  CHECK((flags & CU_MEMHOSTALLOC_PORTABLE) != 0);
  CUdeviceptr device = 0;
  CHECK_RESULT(CUDA_SUCCESS, cuMemHostGetDevicePointer(&device, host, 0));
  CHECK(device == reinterpret_cast<CUdeviceptr>(host));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemHostGetDevicePointer(&device, &device, 0));
  CHECK_RESULT(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, cuMemHostRegister(host, 16, 0));
  CHECK_RESULT(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, cuMemHostUnregister(host));
  CHECK_RESULT(CUDA_SUCCESS, cuMemFreeHost(host));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemFreeHost(host));
}

TEST_CASE("memory: registered host memory") {
  Gpu gpu(false);
  std::vector<char> memory(100000);
  char* const begin = memory.data();
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemHostRegister(begin, 0, 0));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemHostRegister(nullptr, 16, 0));
  REQUIRE_OK(cuMemHostRegister(begin + 1000, 5000, CU_MEMHOSTREGISTER_PORTABLE));
  CHECK_RESULT(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, cuMemHostRegister(begin, 1001, 0));
  CHECK_RESULT(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, cuMemHostRegister(begin + 5999, 10, 0));
  CHECK_RESULT(CUDA_SUCCESS, cuMemHostRegister(begin, 1000, 0));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemHostUnregister(begin + 1001));
  CHECK_RESULT(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, cuMemHostUnregister(begin + 50000));
  CHECK_RESULT(CUDA_SUCCESS, cuMemHostUnregister(begin + 1000));
  CHECK_RESULT(CUDA_SUCCESS, cuMemHostUnregister(begin));
  CHECK_RESULT(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, cuMemHostUnregister(begin));
}

TEST_CASE("memory: pointer attributes") {
  Gpu gpu(false);
  CUdeviceptr memory = 0;
  REQUIRE_OK(cuMemAlloc(&memory, 4096));
  unsigned type = 0;
  CHECK_RESULT(CUDA_SUCCESS, cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, memory + 100));
  CHECK(type == CU_MEMORYTYPE_DEVICE);
  CUcontext context = nullptr;
  CHECK_RESULT(CUDA_SUCCESS, cuPointerGetAttribute(&context, CU_POINTER_ATTRIBUTE_CONTEXT, memory));
  CHECK(context == gpu.context);
  CUdeviceptr base = 0;
  CHECK_RESULT(CUDA_SUCCESS, cuPointerGetAttribute(&base, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, memory + 100));
  CHECK(base == memory);
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuPointerGetAttribute(&base, CU_POINTER_ATTRIBUTE_HOST_POINTER, memory));
  void* host = nullptr;
  REQUIRE_OK(cuMemHostAlloc(&host, 64, 0));
  const auto host_address = reinterpret_cast<CUdeviceptr>(host);
  CHECK_RESULT(CUDA_SUCCESS, cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, host_address));
  CHECK(type == CU_MEMORYTYPE_HOST);
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE,
               cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, reinterpret_cast<CUdeviceptr>(&type)));

  // The batch form knows no unknown memory.
  int ordinal = 7;
  unsigned char managed = 7;
  CUpointer_attribute attributes[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
                                      CU_POINTER_ATTRIBUTE_IS_MANAGED, CU_POINTER_ATTRIBUTE_CONTEXT};
  void* outputs[] = {&type, &ordinal, &managed, &context};
  CHECK_RESULT(CUDA_SUCCESS, cuPointerGetAttributes(4, attributes, outputs, reinterpret_cast<CUdeviceptr>(&type)));
  CHECK(type == 0);
  CHECK(ordinal == -1);
  CHECK(managed == 0);
  CHECK(context == nullptr);
  CHECK_RESULT(CUDA_SUCCESS, cuPointerGetAttributes(4, attributes, outputs, memory));
  CHECK(type == CU_MEMORYTYPE_DEVICE);
  CHECK(ordinal == 0);
}

TEST_CASE("memory: stream-ordered allocation from the default pool") {
  Gpu gpu;
  const std::size_t before = available();
  CUstream stream = nullptr;
  REQUIRE_OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  softgpu_test::Flag flag;
  CUdeviceptr memory = 0;
  REQUIRE_OK(cuMemAllocAsync(&memory, 1 << 20, stream));
  REQUIRE_OK(softgpu_test::launch(gpu.function("wait_for"), 1, 1, stream, flag.device()));
  REQUIRE_OK(cuMemsetD32Async(memory, 7, 100, stream));
  REQUIRE_OK(cuMemFreeAsync(memory, stream));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemFreeAsync(memory, stream));
  CUmemoryPool pool = nullptr;
  REQUIRE_OK(cuDeviceGetDefaultMemPool(&pool, 0));
  cuuint64_t used = 0;
  REQUIRE_OK(cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &used));
  CHECK(used == 1 << 20);  // the kernel still runs
  flag.raise();
  REQUIRE_OK(cuStreamSynchronize(stream));
  REQUIRE_OK(cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &used));
  CHECK(used == 0);
  CHECK(available() == before);  // release threshold 0
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemFreeAsync(memory, stream));

  cuuint64_t threshold = UINT64_MAX;
  REQUIRE_OK(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold));
  REQUIRE_OK(cuMemAllocAsync(&memory, 1 << 20, stream));
  REQUIRE_OK(cuMemFreeAsync(memory, stream));
  REQUIRE_OK(cuStreamSynchronize(stream));
  CHECK(available() == before - (1 << 20));
  CUdeviceptr again = 0;
  REQUIRE_OK(cuMemAllocAsync(&again, 1 << 20, stream));
  CHECK(again == memory);
  REQUIRE_OK(cuMemFree(again));
  REQUIRE_OK(cuMemPoolTrimTo(pool, 0));
  CHECK(available() == before);
}

TEST_CASE("memory: pools of one's own") {
  Gpu gpu(false);
  CUmemPoolProps properties{};
  CUmemoryPool pool = nullptr;
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemPoolCreate(&pool, &properties));
  properties.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  properties.maxSize = 1 << 20;
  REQUIRE_OK(cuMemPoolCreate(&pool, &properties));
  CUdeviceptr memory = 0;
  CHECK_RESULT(CUDA_SUCCESS, cuMemAllocFromPoolAsync(&memory, 1 << 20, pool, nullptr));
  CUdeviceptr more = 0;
  CHECK_RESULT(CUDA_ERROR_OUT_OF_MEMORY, cuMemAllocFromPoolAsync(&more, 512, pool, nullptr));
  CUmemoryPool found = nullptr;
  CHECK_RESULT(CUDA_SUCCESS, cuPointerGetAttribute(&found, CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE, memory));
  CHECK(found == pool);
  CHECK_RESULT(CUDA_SUCCESS, cuDeviceSetMemPool(0, pool));
  CHECK_RESULT(CUDA_SUCCESS, cuMemPoolDestroy(pool));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemPoolTrimTo(pool, 0));
  CHECK_RESULT(CUDA_SUCCESS, cuDeviceGetMemPool(&found, 0));
  CHECK(found != pool);
  CHECK_RESULT(CUDA_SUCCESS, cuMemFreeAsync(memory, nullptr));
  CHECK_RESULT(CUDA_SUCCESS, cuCtxSynchronize());
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemPoolDestroy(found));
}
