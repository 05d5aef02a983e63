#include <thread>

#include "fixture.hpp"

using softgpu_test::Gpu;

TEST_CASE("context: the primary context is one handle, active while retained") {
  REQUIRE_OK(cuInit(0));
  unsigned flags = 1;
  int active = -1;
  REQUIRE_OK(cuDevicePrimaryCtxGetState(0, &flags, &active));
  CHECK(flags == 0);
  CHECK(active == 0);
  CHECK_RESULT(CUDA_ERROR_INVALID_CONTEXT, cuDevicePrimaryCtxRelease(0));
  CHECK_RESULT(CUDA_SUCCESS, cuDevicePrimaryCtxSetFlags(0, CU_CTX_SCHED_YIELD));
  CUcontext first = nullptr;
  CUcontext second = nullptr;
  CHECK_RESULT(CUDA_ERROR_INVALID_DEVICE, cuDevicePrimaryCtxRetain(&first, 1));
  REQUIRE_OK(cuDevicePrimaryCtxRetain(&first, 0));
  REQUIRE_OK(cuDevicePrimaryCtxRetain(&second, 0));
  CHECK(first == second);
  REQUIRE_OK(cuDevicePrimaryCtxGetState(0, &flags, &active));
  CHECK(flags == CU_CTX_SCHED_YIELD);
  CHECK(active == 1);
  REQUIRE_OK(cuCtxSetCurrent(first));
  CUdeviceptr memory = 0;
  CHECK_RESULT(CUDA_SUCCESS, cuMemAlloc(&memory, 1024));
  REQUIRE_OK(cuDevicePrimaryCtxRelease(0));
  CHECK_RESULT(CUDA_SUCCESS, cuCtxSynchronize());
  REQUIRE_OK(cuDevicePrimaryCtxRelease(0));
  CHECK_RESULT(CUDA_ERROR_CONTEXT_IS_DESTROYED, cuCtxSynchronize());
  REQUIRE_OK(cuDevicePrimaryCtxRetain(&second, 0));
  CHECK(first == second);
  CHECK_RESULT(CUDA_SUCCESS, cuCtxSynchronize());
  // What it held is gone.
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemFree(memory));
  std::size_t available = 0;
  std::size_t total = 0;
  REQUIRE_OK(cuMemGetInfo(&available, &total));
  CHECK(available == total);
}

TEST_CASE("context: a reset empties the primary context") {
  Gpu gpu;
  CUstream stream = nullptr;
  CUevent event = nullptr;
  REQUIRE_OK(cuStreamCreate(&stream, 0));
  REQUIRE_OK(cuEventCreate(&event, 0));
  CUfunction function = gpu.function("empty");
  REQUIRE_OK(cuDevicePrimaryCtxReset(0));
  CUcontext context = nullptr;
  REQUIRE_OK(cuDevicePrimaryCtxRetain(&context, 0));
  CHECK(context == gpu.context);
  CHECK_RESULT(CUDA_ERROR_INVALID_HANDLE, cuStreamSynchronize(stream));
  CHECK_RESULT(CUDA_ERROR_INVALID_HANDLE, cuEventQuery(event));
  CHECK_RESULT(CUDA_ERROR_INVALID_HANDLE, softgpu_test::launch(function, 1, 1, nullptr));
  CHECK_RESULT(CUDA_ERROR_INVALID_HANDLE, cuModuleUnload(gpu.module));
  REQUIRE_OK(cuDevicePrimaryCtxRelease(0));
}

TEST_CASE("context: the stack of current contexts") {
  Gpu gpu(false);
  CUcontext current = nullptr;
  CUcontext made = nullptr;
  REQUIRE_OK(cuCtxCreate(&made, nullptr, CU_CTX_SCHED_SPIN, 0));
  CHECK(made != gpu.context);
  REQUIRE_OK(cuCtxGetCurrent(&current));
  CHECK(current == made);
  unsigned flags = 0;
  REQUIRE_OK(cuCtxGetFlags(&flags));
  CHECK(flags == CU_CTX_SCHED_SPIN);
  unsigned long long id = 0;
  unsigned long long other_id = 0;
  REQUIRE_OK(cuCtxGetId(nullptr, &id));
  REQUIRE_OK(cuCtxGetId(gpu.context, &other_id));
  CHECK(id != other_id);
  REQUIRE_OK(cuCtxPushCurrent(gpu.context));
  REQUIRE_OK(cuCtxPopCurrent(&current));
  CHECK(current == gpu.context);
  REQUIRE_OK(cuCtxDestroy(made));
  REQUIRE_OK(cuCtxGetCurrent(&current));
  CHECK(current == gpu.context);
  CHECK_RESULT(CUDA_ERROR_INVALID_CONTEXT, cuCtxDestroy(made));
  CHECK_RESULT(CUDA_ERROR_INVALID_CONTEXT, cuCtxSetCurrent(made));
  CHECK_RESULT(CUDA_ERROR_INVALID_CONTEXT, cuCtxPushCurrent(nullptr));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuCtxCreate(&made, nullptr, 0xffff, 0));
  CHECK_RESULT(CUDA_ERROR_INVALID_DEVICE, cuCtxCreate(&made, nullptr, 0, 2));
}

TEST_CASE("context: each thread has its own current context") {
  Gpu gpu(false);
  std::thread([&] {
    CUcontext current = gpu.context;
    CHECK_RESULT(CUDA_SUCCESS, cuCtxGetCurrent(&current));
    CHECK(current == nullptr);
    CUdeviceptr memory = 0;
    CHECK_RESULT(CUDA_ERROR_INVALID_CONTEXT, cuMemAlloc(&memory, 16));
    CHECK_RESULT(CUDA_ERROR_INVALID_CONTEXT, cuCtxPopCurrent(&current));
    CHECK_RESULT(CUDA_SUCCESS, cuCtxSetCurrent(gpu.context));
    CHECK_RESULT(CUDA_SUCCESS, cuMemAlloc(&memory, 16));
  }).join();
}

TEST_CASE("context: limits, cache configuration, versions") {
  Gpu gpu(false);
  std::size_t value = 0;
  CHECK_RESULT(CUDA_SUCCESS, cuCtxGetLimit(&value, CU_LIMIT_STACK_SIZE));
  CHECK(value == 1024);
  CHECK_RESULT(CUDA_SUCCESS, cuCtxSetLimit(CU_LIMIT_STACK_SIZE, 4000));
  CHECK_RESULT(CUDA_SUCCESS, cuCtxGetLimit(&value, CU_LIMIT_STACK_SIZE));
  CHECK(value >= 4000);
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuCtxGetLimit(&value, static_cast<CUlimit>(99)));
  CHECK_RESULT(CUDA_SUCCESS, cuCtxSetCacheConfig(CU_FUNC_CACHE_PREFER_L1));
  CUfunc_cache config{};
  CHECK_RESULT(CUDA_SUCCESS, cuCtxGetCacheConfig(&config));
  CHECK(config == CU_FUNC_CACHE_PREFER_L1);
  int least = -1;
  int greatest = 1;
  CHECK_RESULT(CUDA_SUCCESS, cuCtxGetStreamPriorityRange(&least, &greatest));
  CHECK(least == 0);
  CHECK(greatest == -5);
  unsigned version = 0;
  CHECK_RESULT(CUDA_SUCCESS, cuCtxGetApiVersion(nullptr, &version));
  CHECK(version == 3020);
  CUdevice device = -1;
  CHECK_RESULT(CUDA_SUCCESS, cuCtxGetDevice(&device));
  CHECK(device == 0);
}
