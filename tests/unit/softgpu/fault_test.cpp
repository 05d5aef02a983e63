#include <chrono>

#include "fixture.hpp"
#include "softgpu/softgpu.h"

using softgpu_test::Gpu;
using softgpu_test::launch;

namespace {

std::string logged;

void keep_log(int, const char* text) { logged += std::string(text) + "\n"; }

void check_sticky(Gpu& gpu, const std::string& error) {
  CUdeviceptr memory = 0;
  CUstream stream = nullptr;
  CUcontext context = nullptr;
  CHECK(softgpu_test::error_name(cuCtxSynchronize()) == error);
  CHECK(softgpu_test::error_name(cuMemAlloc(&memory, 16)) == error);
  CHECK(softgpu_test::error_name(cuStreamCreate(&stream, 0)) == error);
  CHECK(softgpu_test::error_name(cuStreamQuery(nullptr)) == error);
  CHECK(softgpu_test::error_name(cuDevicePrimaryCtxRetain(&context, 0)) == error);
  CHECK(softgpu_test::error_name(cuCtxCreate(&context, nullptr, 0, 0)) == error);
  CHECK(softgpu_test::error_name(cuLaunchKernel(nullptr, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr)) == error);
  // What needs no GPU goes on.
  int count = 0;
  CHECK_RESULT(CUDA_SUCCESS, cuDeviceGetCount(&count));
  CHECK_RESULT(CUDA_SUCCESS, cuCtxGetCurrent(&context));
  CHECK(context == gpu.context);
}

}  // namespace

TEST_CASE("fault: an illegal address is sticky and is logged once") {
  Gpu gpu;
  vgpu_softgpu_set_log(keep_log);
  CUstream stream = nullptr;
  CUstream other = nullptr;
  CUevent event = nullptr;
  REQUIRE_OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  REQUIRE_OK(cuStreamCreate(&other, CU_STREAM_NON_BLOCKING));
  REQUIRE_OK(cuEventCreate(&event, 0));
  softgpu_test::Flag flag;
  // A kernel that never ends by itself must not outlive the fault.
  REQUIRE_OK(launch(gpu.function("wait_for"), 1, 1, other, flag.device()));
  CUfunction write_to = gpu.function("write_to");
  CUfunction empty = gpu.function("empty");
  REQUIRE_OK(launch(write_to, 1, 1, stream, CUdeviceptr{0xdead000}));
  launch(empty, 1, 1, stream);
  cuEventRecord(event, stream);
  CHECK_RESULT(CUDA_ERROR_ILLEGAL_ADDRESS, cuStreamSynchronize(stream));
  CHECK_RESULT(CUDA_ERROR_ILLEGAL_ADDRESS, cuEventQuery(event));
  check_sticky(gpu, "CUDA_ERROR_ILLEGAL_ADDRESS");
  CHECK(logged.find("softgpu: kernel fault") == 0);
  CHECK(logged.find("0xdead000") != std::string::npos);
  CHECK(logged.find("kernel=write_to") != std::string::npos);
  CHECK(logged.find("line=") != std::string::npos);
  CHECK(logged.find("kernel fault", 20) == std::string::npos);
  vgpu_softgpu_set_log(nullptr);
}

TEST_CASE("fault: freed memory is no memory") {
  Gpu gpu;
  CUdeviceptr memory = 0;
  REQUIRE_OK(cuMemAlloc(&memory, 4096));
  REQUIRE_OK(cuMemFree(memory));
  vgpu_softgpu_set_log(keep_log);
  launch(gpu.function("write_to"), 1, 1, nullptr, memory);
  check_sticky(gpu, "CUDA_ERROR_ILLEGAL_ADDRESS");
}

TEST_CASE("fault: the program's own memory is no device memory") {
  Gpu gpu;
  int word = 0;
  vgpu_softgpu_set_log(keep_log);
  launch(gpu.function("write_to"), 1, 1, nullptr, &word);
  check_sticky(gpu, "CUDA_ERROR_ILLEGAL_ADDRESS");
  CHECK(word == 0);
}

TEST_CASE("fault: a misaligned address") {
  Gpu gpu;
  CUdeviceptr memory = 0;
  REQUIRE_OK(cuMemAlloc(&memory, 4096));
  vgpu_softgpu_set_log(keep_log);
  launch(gpu.function("write_to"), 1, 1, nullptr, memory + 1);
  check_sticky(gpu, "CUDA_ERROR_MISALIGNED_ADDRESS");
}

TEST_CASE("fault: a trap") {
  Gpu gpu;
  vgpu_softgpu_set_log(keep_log);
  launch(gpu.function("trap"), 1, 1, nullptr);
  check_sticky(gpu, "CUDA_ERROR_LAUNCH_FAILED");
}

TEST_CASE("fault: host functions are skipped, callbacks hear of it") {
  Gpu gpu;
  vgpu_softgpu_set_log(keep_log);
  struct Seen {
    int functions = 0;
    CUresult status = CUDA_SUCCESS;
  } seen;
  softgpu_test::Flag flag;
  CUfunction trap = gpu.function("trap");
  REQUIRE_OK(launch(gpu.function("wait_for"), 1, 1, nullptr, flag.device()));
  REQUIRE_OK(launch(trap, 1, 1, nullptr));
  REQUIRE_OK(cuLaunchHostFunc(
      nullptr, [](void* data) { ++static_cast<Seen*>(data)->functions; }, &seen));
  REQUIRE_OK(cuStreamAddCallback(
      nullptr, [](CUstream, CUresult status, void* data) { static_cast<Seen*>(data)->status = status; }, &seen, 0));
  flag.raise();
  CHECK_RESULT(CUDA_ERROR_LAUNCH_FAILED, cuCtxSynchronize());
  CHECK(seen.functions == 0);
  CHECK(seen.status == CUDA_ERROR_LAUNCH_FAILED);
}
