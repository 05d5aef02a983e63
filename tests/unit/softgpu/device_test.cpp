#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "fixture.hpp"

TEST_CASE("device: nothing works before cuInit") {
  int value = 0;
  CUdevice device = 0;
  CUcontext context = nullptr;
  CUdeviceptr memory = 0;
  CHECK_RESULT(CUDA_ERROR_NOT_INITIALIZED, cuDeviceGetCount(&value));
  CHECK_RESULT(CUDA_ERROR_NOT_INITIALIZED, cuDeviceGet(&device, 0));
  CHECK_RESULT(CUDA_ERROR_NOT_INITIALIZED, cuDevicePrimaryCtxRetain(&context, 0));
  CHECK_RESULT(CUDA_ERROR_NOT_INITIALIZED, cuCtxGetCurrent(&context));
  CHECK_RESULT(CUDA_ERROR_NOT_INITIALIZED, cuMemAlloc(&memory, 16));
  CHECK_RESULT(CUDA_ERROR_NOT_INITIALIZED, cuStreamSynchronize(nullptr));
  CHECK_RESULT(CUDA_ERROR_NOT_INITIALIZED, cuLaunchKernel(nullptr, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr));
  CHECK_RESULT(CUDA_SUCCESS, cuDriverGetVersion(&value));
  CHECK(value == 13000);
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuInit(1));
  CHECK_RESULT(CUDA_SUCCESS, cuInit(0));
  CHECK_RESULT(CUDA_SUCCESS, cuInit(0));
}

TEST_CASE("device: one device with consistent attributes") {
  REQUIRE_OK(cuInit(0));
  int count = 0;
  CHECK_RESULT(CUDA_SUCCESS, cuDeviceGetCount(&count));
  CHECK(count == 1);
  CUdevice device = -1;
  CHECK_RESULT(CUDA_ERROR_INVALID_DEVICE, cuDeviceGet(&device, 1));
  CHECK_RESULT(CUDA_ERROR_INVALID_DEVICE, cuDeviceGet(&device, -1));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuDeviceGet(nullptr, 0));
  REQUIRE_OK(cuDeviceGet(&device, 0));

  const auto get = [&](CUdevice_attribute attribute) {
    int value = -1;
    REQUIRE_OK(cuDeviceGetAttribute(&value, attribute, device));
    return value;
  };
  CHECK(get(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) == 9);
  CHECK(get(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR) == 0);
  CHECK(get(CU_DEVICE_ATTRIBUTE_WARP_SIZE) == 32);
  CHECK(get(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK) == 1024);
  CHECK(get(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X) == 2147483647);
  CHECK(get(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK) == 49152);
  CHECK(get(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN) == 232448);
  CHECK(get(CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING) == 1);
  CHECK(get(CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS) == 0);
  CHECK(get(CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY) == 1);
  CHECK(get(CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED) == 1);
  CHECK(get(CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH) == 1);
  cpu_set_t cores;
  sched_getaffinity(0, sizeof cores, &cores);
  CHECK(get(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT) == CPU_COUNT(&cores));
  for (int i = 1; i < CU_DEVICE_ATTRIBUTE_MAX; ++i) {
    INFO("attribute " << i);
    int value = 0;
    CHECK_RESULT(CUDA_SUCCESS, cuDeviceGetAttribute(&value, static_cast<CUdevice_attribute>(i), device));
  }
  int value = 0;
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuDeviceGetAttribute(&value, static_cast<CUdevice_attribute>(0), device));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuDeviceGetAttribute(&value, static_cast<CUdevice_attribute>(10000), device));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuDeviceGetAttribute(nullptr, CU_DEVICE_ATTRIBUTE_WARP_SIZE, device));
  CHECK_RESULT(CUDA_ERROR_INVALID_DEVICE, cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 1));
}

TEST_CASE("device: names and identity") {
  REQUIRE_OK(cuInit(0));
  char name[64];
  REQUIRE_OK(cuDeviceGetName(name, sizeof name, 0));
  CHECK(std::string(name) == "vgpu software GPU");
  REQUIRE_OK(cuDeviceGetName(name, 5, 0));
  CHECK(std::string(name) == "vgpu");
  CHECK_RESULT(CUDA_ERROR_INVALID_DEVICE, cuDeviceGetName(name, sizeof name, 3));
  CUuuid first{};
  CUuuid second{};
  REQUIRE_OK(cuDeviceGetUuid(&first, 0));
  REQUIRE_OK(cuDeviceGetUuid_v2(&second, 0));
  CHECK(std::memcmp(&first, &second, sizeof first) == 0);
  char id[32];
  REQUIRE_OK(cuDeviceGetPCIBusId(id, sizeof id, 0));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuDeviceGetPCIBusId(id, 4, 0));
  REQUIRE_OK(cuDeviceGetPCIBusId(id, sizeof id, 0));
  CUdevice device = -1;
  CHECK_RESULT(CUDA_SUCCESS, cuDeviceGetByPCIBusId(&device, id));
  CHECK(device == 0);
  CHECK_RESULT(CUDA_ERROR_INVALID_DEVICE, cuDeviceGetByPCIBusId(&device, "0000:01:00.0"));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuDeviceGetByPCIBusId(&device, "nonsense"));
  int can = -1;
  CHECK_RESULT(CUDA_SUCCESS, cuDeviceCanAccessPeer(&can, 0, 0));
  CHECK(can == 0);
  const void* table = &table;
  CUuuid unknown{};
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGetExportTable(&table, &unknown));
  CHECK(table == nullptr);
  const char* text = nullptr;
  CHECK_RESULT(CUDA_SUCCESS, cuGetErrorString(CUDA_ERROR_OUT_OF_MEMORY, &text));
  CHECK(std::string(text) == "out of memory");
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGetErrorName(static_cast<CUresult>(998), &text));
  CHECK(text == nullptr);
}

TEST_CASE("device: a forked child is not initialized") {
  REQUIRE_OK(cuInit(0));
  const pid_t child = fork();
  if (child == 0) {
    int count = 0;
    const bool refused =
        cuDeviceGetCount(&count) == CUDA_ERROR_NOT_INITIALIZED && cuInit(0) == CUDA_ERROR_NOT_INITIALIZED;
    _exit(refused ? 0 : 1);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}
