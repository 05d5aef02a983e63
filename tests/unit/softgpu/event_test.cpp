#include <unistd.h>

#include "fixture.hpp"

using softgpu_test::download;
using softgpu_test::Flag;
using softgpu_test::Gpu;
using softgpu_test::launch;
using softgpu_test::upload;

TEST_CASE("event: create, ask, destroy") {
  Gpu gpu(false);
  CUevent event = nullptr;
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuEventCreate(&event, 0x100));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuEventCreate(&event, CU_EVENT_INTERPROCESS));
  REQUIRE_OK(cuEventCreate(&event, CU_EVENT_DEFAULT));
  // An event that was never recorded is complete, but has no time.
  CHECK_RESULT(CUDA_SUCCESS, cuEventQuery(event));
  CHECK_RESULT(CUDA_SUCCESS, cuEventSynchronize(event));
  CHECK_RESULT(CUDA_SUCCESS, cuStreamWaitEvent(nullptr, event, 0));
  float milliseconds = 0;
  CHECK_RESULT(CUDA_ERROR_INVALID_HANDLE, cuEventElapsedTime(&milliseconds, event, event));
  CHECK_RESULT(CUDA_SUCCESS, cuEventDestroy(event));
  CHECK_RESULT(CUDA_ERROR_INVALID_HANDLE, cuEventDestroy(event));
  CHECK_RESULT(CUDA_ERROR_INVALID_HANDLE, cuEventRecord(event, nullptr));
  CHECK_RESULT(CUDA_ERROR_INVALID_HANDLE, cuEventQuery(nullptr));
}

TEST_CASE("event: query, synchronize and time") {
  Gpu gpu;
  CUstream stream = nullptr;
  REQUIRE_OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  CUevent begin = nullptr;
  CUevent end = nullptr;
  CUevent untimed = nullptr;
  REQUIRE_OK(cuEventCreate(&begin, 0));
  REQUIRE_OK(cuEventCreate(&end, 0));
  REQUIRE_OK(cuEventCreate(&untimed, CU_EVENT_DISABLE_TIMING));
  Flag flag;
  REQUIRE_OK(cuEventRecord(begin, stream));
  REQUIRE_OK(launch(gpu.function("wait_for"), 1, 1, stream, flag.device()));
  REQUIRE_OK(cuEventRecord(end, stream));
  REQUIRE_OK(cuEventRecord(untimed, stream));
  CHECK_RESULT(CUDA_SUCCESS, cuEventQuery(begin));
  CHECK_RESULT(CUDA_ERROR_NOT_READY, cuEventQuery(end));
  CHECK_RESULT(CUDA_ERROR_NOT_READY, cuEventQuery(untimed));
  float milliseconds = -1;
  CHECK_RESULT(CUDA_ERROR_NOT_READY, cuEventElapsedTime(&milliseconds, begin, end));
  usleep(20000);
  flag.raise();
  REQUIRE_OK(cuEventSynchronize(end));
  CHECK_RESULT(CUDA_SUCCESS, cuEventQuery(end));
  CHECK_RESULT(CUDA_SUCCESS, cuEventElapsedTime(&milliseconds, begin, end));
  CHECK(milliseconds >= 20);
  CHECK(milliseconds < 20000);
  CHECK_RESULT(CUDA_ERROR_INVALID_HANDLE, cuEventElapsedTime(&milliseconds, begin, untimed));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuEventElapsedTime(nullptr, begin, end));
}

TEST_CASE("event: one stream waits for another") {
  Gpu gpu;
  CUstream first = nullptr;
  CUstream second = nullptr;
  REQUIRE_OK(cuStreamCreate(&first, CU_STREAM_NON_BLOCKING));
  REQUIRE_OK(cuStreamCreate(&second, CU_STREAM_NON_BLOCKING));
  CUevent event = nullptr;
  REQUIRE_OK(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
  const auto value = upload(std::vector<unsigned>{0});
  Flag flag;
  REQUIRE_OK(launch(gpu.function("wait_for"), 1, 1, first, flag.device()));
  REQUIRE_OK(launch(gpu.function("set"), 1, 1, first, value, 1u));
  REQUIRE_OK(cuEventRecord(event, first));
  REQUIRE_OK(cuStreamWaitEvent(second, event, 0));
  REQUIRE_OK(launch(gpu.function("set"), 1, 1, second, value, 2u));
  // Recorded again: who waits already waits for the first recording.
  REQUIRE_OK(cuEventRecord(event, second));
  usleep(2000);
  CHECK_RESULT(CUDA_ERROR_NOT_READY, cuStreamQuery(second));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuStreamWaitEvent(second, event, 8));
  REQUIRE_OK(cuEventDestroy(event));  // may be destroyed while in use
  flag.raise();
  REQUIRE_OK(cuStreamSynchronize(second));
  CHECK(download<unsigned>(value, 1).front() == 2);
}

TEST_CASE("event: in the legacy stream it covers the blocking streams") {
  Gpu gpu;
  CUstream blocking = nullptr;
  REQUIRE_OK(cuStreamCreate(&blocking, 0));
  CUevent event = nullptr;
  REQUIRE_OK(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
  Flag flag;
  REQUIRE_OK(launch(gpu.function("wait_for"), 1, 1, blocking, flag.device()));
  REQUIRE_OK(cuEventRecord(event, nullptr));
  CHECK_RESULT(CUDA_ERROR_NOT_READY, cuEventQuery(event));
  flag.raise();
  REQUIRE_OK(cuEventSynchronize(event));
  CHECK_RESULT(CUDA_SUCCESS, cuStreamQuery(blocking));
}
