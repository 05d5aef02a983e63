// Memory pools in the guest: which is a device's, which handles there are, and how wide their attributes are.
#include <catch2/catch.hpp>
#include <cstring>

#include "fake_executor.hpp"

using namespace vgpu::shim;
using namespace vgpu::shim::test;

namespace {

CUmemPoolProps properties_of(int device) {
  CUmemPoolProps properties{};
  properties.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location = {CU_MEM_LOCATION_TYPE_DEVICE, {device}};
  return properties;
}

CUmemoryPool pool_of_device() {
  CUmemoryPool pool = nullptr;
  REQUIRE(cuDeviceGetMemPool(&pool, 0) == CUDA_SUCCESS);
  return pool;
}

}  // namespace

TEST_CASE("a device takes from the pool it was given, until that is destroyed") {
  Session session;
  CUmemoryPool first = nullptr;
  REQUIRE(cuDeviceGetDefaultMemPool(&first, 0) == CUDA_SUCCESS);
  CHECK(pool_of_device() == first);
  CHECK(cuMemPoolDestroy(first) == CUDA_ERROR_INVALID_VALUE);
  const CUmemPoolProps properties = properties_of(0);
  CUmemoryPool made = nullptr;
  REQUIRE(cuMemPoolCreate(&made, &properties) == CUDA_SUCCESS);
  CHECK(made != first);
  session.executor.on<call::cuDeviceSetMemPool>([](const Record&) {
    return Answer{CUDA_ERROR_INVALID_VALUE, {}, false};
  });
  CHECK(cuDeviceSetMemPool(0, made) == CUDA_ERROR_INVALID_VALUE);
  CHECK(pool_of_device() == first);
  session.executor.on<call::cuDeviceSetMemPool>([](const Record&) { return Answer{}; });
  CHECK(cuDeviceSetMemPool(0, made) == CUDA_SUCCESS);
  CHECK(pool_of_device() == made);
  CHECK(cuMemPoolDestroy(made) == CUDA_SUCCESS);
  CHECK(pool_of_device() == first);
  CHECK(cuMemPoolDestroy(made) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuDeviceSetMemPool(0, made) == CUDA_ERROR_INVALID_VALUE);
  CHECK(session.executor.records_of<call::cuMemPoolDestroy>().size() == 1);
}

TEST_CASE("an attribute of a pool is written as wide as it is") {
  Session session;
  CUmemoryPool pool = pool_of_device();
  session.executor.on<call::cuMemPoolGetAttribute>(
      [](const Record&) { return reply_with(call::cuMemPoolGetAttribute::Reply{0x1122334455667788}); });
  cuuint64_t wide = 0;
  CHECK(cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH, &wide) == CUDA_SUCCESS);
  CHECK(wide == 0x1122334455667788);
  int narrow[2] = {0, -1};
  CHECK(cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC, narrow) == CUDA_SUCCESS);
  CHECK(narrow[0] == 0x55667788);
  CHECK(narrow[1] == -1);
  narrow[0] = 1;
  CHECK(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC, narrow) == CUDA_SUCCESS);
  const auto set = session.executor.records_of<call::cuMemPoolSetAttribute>();
  REQUIRE(set.size() == 1);
  CHECK(set[0].as<call::cuMemPoolSetAttribute>().value == 1);
  for (const int unknown : {0, 9, -1}) {
    const auto attribute = static_cast<CUmemPool_attribute>(unknown);
    CHECK(cuMemPoolGetAttribute(pool, attribute, &wide) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemPoolSetAttribute(pool, attribute, &wide) == CUDA_ERROR_INVALID_VALUE);
  }
  CHECK(cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_HIGH, nullptr) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("pools that cannot be made are refused by name, and memory of them is known") {
  Session session;
  CUmemoryPool made = nullptr;
  CUmemPoolProps properties = properties_of(99);
  CHECK(cuMemPoolCreate(&made, &properties) == CUDA_ERROR_INVALID_DEVICE);
  CHECK(cuMemPoolCreate(&made, nullptr) == CUDA_ERROR_INVALID_VALUE);
  CHECK(session.executor.records_of<call::vgpuUnsupported>().empty());
  properties = properties_of(0);
  properties.handleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  CHECK(cuMemPoolCreate(&made, &properties) == CUDA_ERROR_NOT_SUPPORTED);
  CHECK(session.executor.records_of<call::vgpuUnsupported>().size() == 1);
  CHECK(session.executor.records_of<call::cuMemPoolCreate>().empty());

  properties = properties_of(0);
  REQUIRE(cuMemPoolCreate(&made, &properties) == CUDA_SUCCESS);
  session.executor.on<call::cuMemAllocFromPoolAsync>([](const Record&) {
    return reply_with(call::cuMemAllocFromPoolAsync::Reply{vgpu::protocol::Pointer{u64{0x6000} << 32}});
  });
  CUdeviceptr pointer = 0;
  CHECK(cuMemAllocFromPoolAsync(&pointer, 0, made, nullptr) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemAllocFromPoolAsync(nullptr, 64, made, nullptr) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemAllocFromPoolAsync(&pointer, 64, nullptr, nullptr) == CUDA_ERROR_INVALID_VALUE);
  REQUIRE(cuMemAllocFromPoolAsync(&pointer, 64, made, nullptr) == CUDA_SUCCESS);
  CHECK(session.executor.records_of<call::cuMemAllocFromPoolAsync>().size() == 1);
  CUmemoryPool home = nullptr;
  CHECK(cuPointerGetAttribute(&home, CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE, pointer) == CUDA_SUCCESS);
  CHECK(home == made);
  CHECK(cuMemFreeAsync(pointer, nullptr) == CUDA_SUCCESS);
  CHECK(cuPointerGetAttribute(&home, CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE, pointer) == CUDA_ERROR_INVALID_VALUE);
}
