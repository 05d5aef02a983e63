#include <catch2/catch.hpp>
#include <cstring>

#include "fake_executor.hpp"

using namespace vgpu::shim::test;

TEST_CASE("device queries ask the executor once") {
  Session session(false);
  REQUIRE(cuInit(0) == CUDA_SUCCESS);
  int count = 0;
  REQUIRE(cuDeviceGetCount(&count) == CUDA_SUCCESS);
  CHECK(count == 1);
  CUdevice device = -1;
  CHECK(cuDeviceGet(&device, 0) == CUDA_SUCCESS);
  CHECK(cuDeviceGet(&device, 1) == CUDA_ERROR_INVALID_DEVICE);
  CHECK(cuDeviceGet(nullptr, 0) == CUDA_ERROR_INVALID_VALUE);
  char name[8] = {};
  CHECK(cuDeviceGetName(name, sizeof name, 0) == CUDA_SUCCESS);
  CHECK(std::string(name) == "Pretend");
  int value = 0;
  CHECK(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 0) == CUDA_SUCCESS);
  CHECK(value == 32);
  CHECK(cuDeviceGetAttribute(&value, static_cast<CUdevice_attribute>(9999), 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 5) == CUDA_ERROR_INVALID_DEVICE);
  size_t bytes = 0;
  CHECK(cuDeviceTotalMem(&bytes, 0) == CUDA_SUCCESS);
  CHECK(bytes == size_t{8} << 30);
  CUuuid uuid{};
  CHECK(cuDeviceGetUuid(&uuid, 0) == CUDA_SUCCESS);
  CHECK(static_cast<unsigned char>(uuid.bytes[0]) == 0xab);
  CHECK(session.executor.records_of<call::vgpuDeviceInfo>().size() == 1);
}

TEST_CASE("a device is found by its PCI address in each way of writing it") {
  Session session;
  CUdevice device = -1;
  CHECK(cuDeviceGetByPCIBusId(&device, "0000:3b:00.0") == CUDA_SUCCESS);
  CHECK(device == 0);
  CHECK(cuDeviceGetByPCIBusId(&device, "3B:00.0") == CUDA_SUCCESS);
  CHECK(cuDeviceGetByPCIBusId(&device, "0000:3b:00") == CUDA_SUCCESS);
  CHECK(cuDeviceGetByPCIBusId(&device, "0000:3c:00.0") == CUDA_ERROR_INVALID_DEVICE);
  CHECK(cuDeviceGetByPCIBusId(&device, "nonsense") == CUDA_ERROR_INVALID_VALUE);
  char id[32];
  CHECK(cuDeviceGetPCIBusId(id, sizeof id, 0) == CUDA_SUCCESS);
  CHECK(std::string(id) == "0000:3B:00.0");
}

TEST_CASE("each device has one pool, the default one") {
  Session session;
  CUmemoryPool pool = nullptr;
  CUmemoryPool again = nullptr;
  REQUIRE(cuDeviceGetDefaultMemPool(&pool, 0) == CUDA_SUCCESS);
  REQUIRE(cuDeviceGetMemPool(&again, 0) == CUDA_SUCCESS);
  CHECK(pool == again);
  CHECK(cuDeviceSetMemPool(0, pool) == CUDA_SUCCESS);
  CHECK(cuDeviceSetMemPool(0, reinterpret_cast<CUmemoryPool>(0x1234)) == CUDA_ERROR_INVALID_VALUE);
  session.executor.on<call::cuMemPoolGetAttribute>(
      [](const Record&) { return reply_with(call::cuMemPoolGetAttribute::Reply{0x500000001}); });
  cuuint64_t threshold = 0;
  CHECK(cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold) == CUDA_SUCCESS);
  CHECK(threshold == 0x500000001);
  int reuse[2] = {0, 77};
  CHECK(cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC, reuse) == CUDA_SUCCESS);
  CHECK(reuse[0] == 1);
  CHECK(reuse[1] == 77);
}
