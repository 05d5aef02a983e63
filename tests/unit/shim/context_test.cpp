#include <catch2/catch.hpp>

#include "fake_executor.hpp"

using namespace vgpu::shim::test;

TEST_CASE("retaining a primary context reaches the executor from 0 to 1 and from 1 to 0") {
  Session session(false);
  REQUIRE(cuInit(0) == CUDA_SUCCESS);
  unsigned flags = 9;
  int active = 9;
  CHECK(cuDevicePrimaryCtxGetState(0, &flags, &active) == CUDA_SUCCESS);
  CHECK(flags == 0);
  CHECK(active == 0);
  CHECK(cuDevicePrimaryCtxSetFlags(0, CU_CTX_SCHED_BLOCKING_SYNC) == CUDA_SUCCESS);
  CHECK(cuDevicePrimaryCtxSetFlags(0, CU_CTX_SCHED_SPIN | CU_CTX_SCHED_YIELD) == CUDA_ERROR_INVALID_VALUE);
  CUcontext first = nullptr;
  CUcontext second = nullptr;
  CHECK(cuDevicePrimaryCtxRetain(&first, 0) == CUDA_SUCCESS);
  CHECK(cuDevicePrimaryCtxRetain(&second, 0) == CUDA_SUCCESS);
  CHECK(first == second);
  const auto retained = session.executor.records_of<call::cuDevicePrimaryCtxRetain>();
  REQUIRE(retained.size() == 1);
  CHECK(retained[0].as<call::cuDevicePrimaryCtxRetain>().flags == CU_CTX_SCHED_BLOCKING_SYNC);
  CHECK(cuDevicePrimaryCtxRelease(0) == CUDA_SUCCESS);
  CHECK(session.executor.records_of<call::cuDevicePrimaryCtxRelease>().empty());
  CHECK(cuDevicePrimaryCtxRelease(0) == CUDA_SUCCESS);
  CHECK(session.executor.records_of<call::cuDevicePrimaryCtxRelease>().size() == 1);
  CHECK(cuDevicePrimaryCtxRelease(0) == CUDA_ERROR_INVALID_CONTEXT);
  CHECK(cuCtxSetCurrent(first) == CUDA_SUCCESS);
  CHECK(cuCtxSynchronize() == CUDA_ERROR_CONTEXT_IS_DESTROYED);
  CHECK(cuDevicePrimaryCtxRetain(&second, 0) == CUDA_SUCCESS);
  CHECK(first == second);
  CHECK(cuCtxSynchronize() == CUDA_SUCCESS);
}

TEST_CASE("contexts are a stack for each thread") {
  Session session;
  CUcontext own = nullptr;
  CUctxCreateParams* const none = nullptr;
  REQUIRE(cuCtxCreate(&own, none, 0, 0) == CUDA_SUCCESS);
  CUcontext current = nullptr;
  CHECK(cuCtxGetCurrent(&current) == CUDA_SUCCESS);
  CHECK(current == own);
  std::thread([&] {
    CUcontext there = own;
    CHECK(cuCtxGetCurrent(&there) == CUDA_SUCCESS);
    CHECK(there == nullptr);
    CHECK(cuCtxSynchronize() == CUDA_ERROR_INVALID_CONTEXT);
    CHECK(cuCtxPopCurrent(&there) == CUDA_ERROR_INVALID_CONTEXT);
  }).join();
  CHECK(cuCtxPopCurrent(&current) == CUDA_SUCCESS);
  CHECK(current == own);
  CHECK(cuCtxGetCurrent(&current) == CUDA_SUCCESS);
  CHECK(current == session.context);
  CHECK(cuCtxPushCurrent(own) == CUDA_SUCCESS);
  session.executor.forget_records();
  CHECK(cuCtxSynchronize() == CUDA_SUCCESS);
  const auto records = session.executor.records_of<call::cuCtxSynchronize>();
  REQUIRE(records.size() == 1);
  const vgpu::protocol::ContextHandle handle{reinterpret_cast<u64>(own)};
  CHECK(records[0].header.context == handle.index());
  CHECK(cuCtxSetCurrent(nullptr) == CUDA_SUCCESS);
  CHECK(cuCtxGetCurrent(&current) == CUDA_SUCCESS);
  CHECK(current == session.context);
}

TEST_CASE("a destroyed context takes what lives in it along") {
  Session session;
  CUcontext own = nullptr;
  CUctxCreateParams* const none = nullptr;
  REQUIRE(cuCtxCreate(&own, none, 0, 0) == CUDA_SUCCESS);
  CUstream stream = nullptr;
  CUevent event = nullptr;
  void* pinned = nullptr;
  REQUIRE(cuStreamCreate(&stream, 0) == CUDA_SUCCESS);
  REQUIRE(cuEventCreate(&event, 0) == CUDA_SUCCESS);
  REQUIRE(cuMemHostAlloc(&pinned, 100, 0) == CUDA_SUCCESS);
  session.executor.forget_records();
  CHECK(cuCtxDestroy(own) == CUDA_SUCCESS);
  CHECK(session.executor.records_of<call::cuStreamDestroy>().size() == 1);
  CHECK(session.executor.records_of<call::cuEventDestroy>().size() == 1);
  CHECK(session.executor.records_of<call::cuMemFreeHost>().size() == 1);
  CHECK(session.executor.records_of<call::cuCtxDestroy>().size() == 1);
  CUcontext current = nullptr;
  CHECK(cuCtxGetCurrent(&current) == CUDA_SUCCESS);
  CHECK(current == session.context);
  CHECK(cuStreamSynchronize(stream) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuEventQuery(event) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuCtxSetCurrent(own) == CUDA_ERROR_INVALID_CONTEXT);
  CHECK(cuCtxDestroy(own) == CUDA_ERROR_INVALID_CONTEXT);
}

TEST_CASE("limits are asked once, and again after one was set") {
  Session session;
  session.executor.on<call::cuCtxGetLimit>([](const Record&) { return reply_with(call::cuCtxGetLimit::Reply{1024}); });
  size_t value = 0;
  CHECK(cuCtxGetLimit(&value, CU_LIMIT_STACK_SIZE) == CUDA_SUCCESS);
  CHECK(cuCtxGetLimit(&value, CU_LIMIT_STACK_SIZE) == CUDA_SUCCESS);
  CHECK(value == 1024);
  CHECK(session.executor.records_of<call::cuCtxGetLimit>().size() == 1);
  CHECK(cuCtxSetLimit(CU_LIMIT_STACK_SIZE, 2048) == CUDA_SUCCESS);
  CHECK(cuCtxGetLimit(&value, CU_LIMIT_STACK_SIZE) == CUDA_SUCCESS);
  CHECK(session.executor.records_of<call::cuCtxGetLimit>().size() == 2);
  CHECK(cuCtxGetLimit(&value, static_cast<CUlimit>(500)) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("contexts have their numbers, devices and versions") {
  Session session;
  unsigned long long first = 0;
  unsigned long long second = 0;
  CHECK(cuCtxGetId(session.context, &first) == CUDA_SUCCESS);
  CUcontext own = nullptr;
  CUctxCreateParams* const none = nullptr;
  REQUIRE(cuCtxCreate(&own, none, CU_CTX_SCHED_YIELD, 0) == CUDA_SUCCESS);
  CHECK(cuCtxGetId(own, &second) == CUDA_SUCCESS);
  CHECK(first != second);
  CUdevice device = 9;
  CHECK(cuCtxGetDevice_v2(&device, session.context) == CUDA_SUCCESS);
  CHECK(device == 0);
  CHECK(cuCtxGetDevice_v2(&device, reinterpret_cast<CUcontext>(0x123456)) == CUDA_ERROR_INVALID_CONTEXT);
  unsigned flags = 0;
  CHECK(cuCtxGetFlags(&flags) == CUDA_SUCCESS);
  CHECK(flags == CU_CTX_SCHED_YIELD);
  unsigned version = 0;
  CHECK(cuCtxGetApiVersion(own, &version) == CUDA_SUCCESS);
  CHECK(version == 3020);
  int least = 9;
  int greatest = 9;
  CHECK(cuCtxGetStreamPriorityRange(&least, &greatest) == CUDA_SUCCESS);
  CHECK(least == 0);
  CHECK(greatest == -5);
}

TEST_CASE("a context that would dump core on the host is refused") {
  Session session;
  const auto created = session.executor.records_of<call::cuCtxCreate>().size();
  CUcontext context = nullptr;
  CUctxCreateParams* const none = nullptr;
  CHECK(cuCtxCreate(&context, none, CU_CTX_COREDUMP_ENABLE, 0) == CUDA_ERROR_NOT_SUPPORTED);
  CHECK(cuCtxCreate(&context, none, CU_CTX_USER_COREDUMP_ENABLE, 0) == CUDA_ERROR_NOT_SUPPORTED);
  CHECK(session.executor.records_of<call::cuCtxCreate>().size() == created);
  CHECK(cuDevicePrimaryCtxSetFlags(0, CU_CTX_COREDUMP_ENABLE) == CUDA_ERROR_NOT_SUPPORTED);
}
