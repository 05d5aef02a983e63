#include <catch2/catch.hpp>
#include <set>

#include "fake_executor.hpp"
#include "shim/range_allocator.hpp"
#include "shim/session.hpp"

using namespace vgpu::shim;
using namespace vgpu::shim::test;

TEST_CASE("device memory is known from its allocation to its end") {
  Session session;
  CUdeviceptr pointer = 0;
  REQUIRE(cuMemAlloc(&pointer, 1000) == CUDA_SUCCESS);
  CUdeviceptr base = 0;
  size_t bytes = 0;
  CHECK(cuMemGetAddressRange(&base, &bytes, pointer + 999) == CUDA_SUCCESS);
  CHECK(base == pointer);
  CHECK(bytes == 1000);
  CHECK(cuMemGetAddressRange(&base, &bytes, pointer + 1000) == CUDA_ERROR_NOT_FOUND);
  CHECK(cuMemFree(pointer + 8) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemFree(pointer) == CUDA_SUCCESS);
  CHECK(cuMemFree(pointer) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemFree(0) == CUDA_SUCCESS);
  CHECK(cuMemAlloc(&pointer, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemAlloc(nullptr, 4) == CUDA_ERROR_INVALID_VALUE);
  session.executor.on<call::cuMemAlloc>([](const Record&) { return Answer{CUDA_ERROR_OUT_OF_MEMORY, {}, false}; });
  CHECK(cuMemAlloc(&pointer, 4) == CUDA_ERROR_OUT_OF_MEMORY);
}

TEST_CASE("stream-ordered memory comes from the default pool") {
  Session session;
  CUdeviceptr pointer = 0;
  REQUIRE(cuMemAllocAsync(&pointer, 256, nullptr) == CUDA_SUCCESS);
  CUmemoryPool pool = nullptr;
  CUmemoryPool default_one = nullptr;
  CHECK(cuPointerGetAttribute(&pool, CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE, pointer) == CUDA_SUCCESS);
  CHECK(cuDeviceGetDefaultMemPool(&default_one, 0) == CUDA_SUCCESS);
  CHECK(pool == default_one);
  CHECK(cuMemFreeAsync(pointer, nullptr) == CUDA_SUCCESS);
  CHECK(cuMemFreeAsync(pointer, nullptr) == CUDA_ERROR_INVALID_VALUE);

  CUstream stream = nullptr;
  REQUIRE(cuStreamCreate(&stream, 0) == CUDA_SUCCESS);
  REQUIRE(cuMemAllocAsync(&pointer, 256, stream) == CUDA_SUCCESS);
  session.executor.forget_records();
  REQUIRE(cuCtxSetCurrent(nullptr) == CUDA_SUCCESS);
  CHECK(cuMemFreeAsync(pointer, nullptr) == CUDA_ERROR_INVALID_CONTEXT);
  CHECK(cuMemFreeAsync(pointer, stream) == CUDA_SUCCESS);
  CHECK(session.executor.records_of<call::cuMemFreeAsync>().at(0).header.context == 1);
  REQUIRE(cuCtxSetCurrent(session.context) == CUDA_SUCCESS);
  CHECK(cuMemAllocFromPoolAsync(&pointer, 64, default_one, nullptr) == CUDA_SUCCESS);
  CHECK(cuMemAllocFromPoolAsync(&pointer, 64, nullptr, nullptr) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("pointer attributes tell what a pointer is") {
  Session session;
  CUdeviceptr device = 0;
  void* pinned = nullptr;
  REQUIRE(cuMemAlloc(&device, 64) == CUDA_SUCCESS);
  REQUIRE(cuMemAllocHost(&pinned, 64) == CUDA_SUCCESS);
  unsigned type = 0;
  CHECK(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, device + 3) == CUDA_SUCCESS);
  CHECK(type == CU_MEMORYTYPE_DEVICE);
  const CUdeviceptr host = reinterpret_cast<CUdeviceptr>(pinned);
  CHECK(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, host) == CUDA_SUCCESS);
  CHECK(type == CU_MEMORYTYPE_HOST);
  CUdeviceptr mapped = 0;
  CHECK(cuPointerGetAttribute(&mapped, CU_POINTER_ATTRIBUTE_DEVICE_POINTER, host + 5) == CUDA_SUCCESS);
  CHECK(mapped == host + 5);
  int local = 0;
  const CUdeviceptr unknown = reinterpret_cast<CUdeviceptr>(&local);
  CHECK(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, unknown) == CUDA_ERROR_INVALID_VALUE);

  int ordinal = 5;
  void* host_pointer = nullptr;
  CUdeviceptr range = 77;
  CUcontext context = session.context;
  unsigned is_managed = 7;
  CUpointer_attribute wanted[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE,  CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
                                  CU_POINTER_ATTRIBUTE_HOST_POINTER, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR,
                                  CU_POINTER_ATTRIBUTE_CONTEXT,      CU_POINTER_ATTRIBUTE_IS_MANAGED};
  void* places[] = {&type, &ordinal, &host_pointer, &range, &context, &is_managed};
  CHECK(cuPointerGetAttributes(6, wanted, places, unknown) == CUDA_SUCCESS);
  CHECK(type == 0);
  CHECK(ordinal == -1);
  CHECK(host_pointer == &local);
  CHECK(range == 77);
  CHECK(context == nullptr);
  CHECK(is_managed == 0);
  CHECK(cuPointerGetAttributes(6, wanted, places, device) == CUDA_SUCCESS);
  CHECK(type == CU_MEMORYTYPE_DEVICE);
  CHECK(ordinal == 0);
  CHECK(host_pointer == nullptr);
  CHECK(range == device);
  CHECK(context == session.context);
}

TEST_CASE("pinned memory lies in the arena, small requests share a granule") {
  Session session;
  session.executor.forget_records();
  std::vector<void*> all;
  for (int i = 0; i < 20; ++i) {
    void* pointer = nullptr;
    REQUIRE(cuMemHostAlloc(&pointer, 1000, 0) == CUDA_SUCCESS);
    CHECK(reinterpret_cast<u64>(pointer) % 512 == 0);
    static_cast<char*>(pointer)[999] = 1;
    all.push_back(pointer);
  }
  CHECK(std::set<void*>(all.begin(), all.end()).size() == 20);
  CHECK(session.executor.records_of<call::cuMemHostAlloc>().size() == 1);
  unsigned flags = 0;
  CHECK(cuMemHostGetFlags(&flags, all[3]) == CUDA_SUCCESS);
  CHECK((flags & CU_MEMHOSTALLOC_DEVICEMAP) != 0);
  CUdeviceptr mapped = 0;
  CHECK(cuMemHostGetDevicePointer(&mapped, static_cast<char*>(all[3]) + 10, 0) == CUDA_SUCCESS);
  CHECK(mapped == reinterpret_cast<CUdeviceptr>(all[3]) + 10);
  CHECK(cuMemFreeHost(static_cast<char*>(all[3]) + 10) == CUDA_ERROR_INVALID_VALUE);
  for (void* pointer : all) CHECK(cuMemFreeHost(pointer) == CUDA_SUCCESS);
  CHECK(cuMemFreeHost(all[0]) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemHostAlloc(&all[0], 0, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemHostAlloc(&all[0], 8, 0x100) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("large pinned memory is registered by itself, and the arena has an end") {
  Session session;
  void* large = nullptr;
  REQUIRE(cuMemHostAlloc(&large, 40u << 20, CU_MEMHOSTALLOC_WRITECOMBINED) == CUDA_SUCCESS);
  void* too_much = nullptr;
  CHECK(cuMemHostAlloc(&too_much, 30u << 20, 0) == CUDA_ERROR_OUT_OF_MEMORY);
  CHECK(cuMemHostAlloc(&too_much, ~std::size_t{0}, 0) == CUDA_ERROR_OUT_OF_MEMORY);
  CHECK(cuMemFreeHost(large) == CUDA_SUCCESS);
  const auto freed = session.executor.records_of<call::cuMemFreeHost>();
  REQUIRE(freed.size() == 1);
  CHECK(freed[0].as<call::cuMemFreeHost>().bytes == 40u << 20);
  CHECK(cuMemHostAlloc(&too_much, 60u << 20, 0) == CUDA_SUCCESS);
}

TEST_CASE("ranges are handed out first-fit and joined again") {
  RangeAllocator ranges(1000, 100);
  const auto a = ranges.take(150);
  const auto b = ranges.take(300);
  const auto c = ranges.take(1);
  REQUIRE((a && b && c));
  CHECK(*a == 0);
  CHECK(*b == 200);
  CHECK(*c == 500);
  CHECK_FALSE(ranges.take(500));
  ranges.give(*b, 300);
  CHECK(*ranges.take(300) == 200);
  ranges.give(200, 300);
  ranges.give(*a, 150);
  CHECK_FALSE(ranges.whole());
  ranges.give(*c, 1);
  CHECK(ranges.whole());
  CHECK(*ranges.take(1000) == 0);
  CHECK_FALSE(ranges.take(1));
}
