#include "shim/session.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <cstring>

#include "common/cuda_errors.hpp"
#include "fake_executor.hpp"
#include "shim/exports/refuse.hpp"

using namespace vgpu::shim;
using namespace vgpu::shim::test;
using Clock = std::chrono::steady_clock;

TEST_CASE("before cuInit every call says so, and cuInit takes no flags") {
  Session session(false);
  int count = 0;
  CHECK(cuDeviceGetCount(&count) == CUDA_ERROR_NOT_INITIALIZED);
  CHECK(cuMemFree(0) == CUDA_ERROR_NOT_INITIALIZED);
  CHECK(cuStreamSynchronize(nullptr) == CUDA_ERROR_NOT_INITIALIZED);
  int version = 0;
  CHECK(cuDriverGetVersion(&version) == CUDA_SUCCESS);
  CHECK(version == 13000);
  CHECK(cuInit(1) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuInit(0) == CUDA_SUCCESS);
  CHECK(cuInit(0) == CUDA_SUCCESS);
  CHECK(session.executor.records_of<call::vgpuAttach>().size() == 1);
}

TEST_CASE("the version is the smaller one of both sides'") {
  Session session(false);
  session.executor.on<call::vgpuAttach>([](const Record&) { return reply_with(call::vgpuAttach::Reply{12040, 1}); });
  REQUIRE(cuInit(0) == CUDA_SUCCESS);
  int version = 0;
  CHECK(cuDriverGetVersion(&version) == CUDA_SUCCESS);
  CHECK(version == 12040);
}

TEST_CASE("a carrier that can't open gives its reason's result") {
  set_carrier_opener([]() -> Opened { return {nullptr, CUDA_ERROR_NO_DEVICE, "nobody listens (said by a test)"}; });
  CHECK(cuInit(0) == CUDA_ERROR_NO_DEVICE);
  CHECK(cuInit(0) == CUDA_ERROR_NO_DEVICE);
  CUcontext context = nullptr;
  CHECK(cuCtxGetCurrent(&context) == CUDA_ERROR_NOT_INITIALIZED);
  forget_session();
}

TEST_CASE("a region of another version or size is refused") {
  Session session(false);
  SECTION("magic") { session.executor.control().magic = 1; }
  SECTION("version") { session.executor.control().version = VGPU_VERSION + (1u << 16); }
  SECTION("slots") { session.executor.control().slot_count = 10; }
  SECTION("arena") { session.executor.control().arena_bytes = ~vgpu::protocol::u64{0}; }
  CHECK(cuInit(0) == CUDA_ERROR_NO_DEVICE);
}

TEST_CASE("an error of an earlier call without answer is returned once") {
  Session session;
  session.executor.on<call::cuMemsetD8Async>([](const Record&) {
    return Answer{CUDA_ERROR_INVALID_HANDLE, {}, false};
  });
  CUdeviceptr pointer = 0;
  REQUIRE(cuMemAlloc(&pointer, 64) == CUDA_SUCCESS);
  REQUIRE(cuMemsetD8Async(pointer, 0, 64, nullptr) == CUDA_SUCCESS);
  SECTION("by the call that waits for it") {
    CHECK(cuStreamSynchronize(nullptr) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(cuStreamSynchronize(nullptr) == CUDA_SUCCESS);
  }
  SECTION("by the next call, which isn't sent") {
    session.executor.forget_records();
    CHECK(cuMemsetD8Async(pointer, 0, 64, nullptr) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(session.executor.records_of<call::cuMemsetD8Async>().empty());
  }
  SECTION("by a call that frees, which is sent all the same") {
    session.executor.forget_records();
    CHECK(cuMemFree(pointer) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(session.executor.records_of<call::cuMemFree>().size() == 1);
  }
}

TEST_CASE("a sticky error is every later call's") {
  Session session;
  session.executor.set_async_error(CUDA_ERROR_ILLEGAL_ADDRESS);
  CHECK(cuCtxSynchronize() == CUDA_ERROR_ILLEGAL_ADDRESS);
  CHECK(cuCtxSynchronize() == CUDA_ERROR_ILLEGAL_ADDRESS);
  CUstream stream = nullptr;
  CHECK(cuStreamCreate(&stream, 0) == CUDA_ERROR_ILLEGAL_ADDRESS);
  CHECK(session.executor.records().empty());
}

TEST_CASE("after the session's end each call returns how it ended") {
  Session session;
  session.executor.end_session(VGPU_END_KILLED, CUDA_ERROR_LAUNCH_FAILED);
  CUstream stream = nullptr;
  CHECK(cuStreamCreate(&stream, 0) == CUDA_ERROR_LAUNCH_FAILED);
  CHECK(cuCtxSynchronize() == CUDA_ERROR_LAUNCH_FAILED);
}

TEST_CASE("a call that waits notices the end of the session") {
  Session session;
  session.executor.on<call::cuCtxSynchronize>([](const Record&) { return Answer{CUDA_SUCCESS, {}, true}; });
  const auto start = Clock::now();
  std::thread ender([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    session.executor.end_session(VGPU_END_EXECUTOR_DIED, CUDA_ERROR_LAUNCH_FAILED);
  });
  CHECK(cuCtxSynchronize() == CUDA_ERROR_LAUNCH_FAILED);
  CHECK(Clock::now() - start < std::chrono::seconds(3));
  ender.join();
}

TEST_CASE("a call that waits notices that daemon and executor are gone") {
  Session session;
  session.executor.on<call::cuCtxSynchronize>([&](const Record&) {
    session.executor.set_alive(false);
    return Answer{CUDA_SUCCESS, {}, true};
  });
  const auto start = Clock::now();
  CHECK(cuCtxSynchronize() == CUDA_ERROR_DEVICE_UNAVAILABLE);
  CHECK(Clock::now() - start < std::chrono::seconds(3));
  CHECK(cuCtxSynchronize() == CUDA_ERROR_DEVICE_UNAVAILABLE);
}

TEST_CASE("the session says goodbye, and calls are refused afterwards") {
  Session session;
  close_session();
  CHECK(session.executor.records_of<call::vgpuBye>().size() == 1);
  CHECK(cuCtxSynchronize() == CUDA_ERROR_DEINITIALIZED);
}

TEST_CASE("a forked child has no CUDA, and leaves the parent's alone") {
  Session session;
  session.executor.forget_records();
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    CUdeviceptr pointer = 0;
    const bool right =
        cuInit(0) == CUDA_ERROR_NOT_INITIALIZED && cuMemAlloc(&pointer, 4) == CUDA_ERROR_NOT_INITIALIZED &&
        cuCtxSynchronize() == CUDA_ERROR_NOT_INITIALIZED &&
        cuLaunchKernel(nullptr, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr) == CUDA_ERROR_NOT_INITIALIZED &&
        refuse(0) == CUDA_ERROR_NOT_SUPPORTED;
    ::_exit(right ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(session.executor.records().empty());
  CHECK(cuCtxSynchronize() == CUDA_SUCCESS);
}

TEST_CASE("a refused function is counted under its name") {
  Session session;
  CHECK(refuse(0) == CUDA_ERROR_NOT_SUPPORTED);
  const auto records = session.executor.records_of<call::vgpuUnsupported>();
  REQUIRE(records.size() == 1);
  CHECK(std::string(reinterpret_cast<const char*>(records[0].tail.data()), records[0].tail.size()).substr(0, 2) ==
        "cu");
}

TEST_CASE("errors have CUDA's names and texts") {
  const char* text = nullptr;
  CHECK(cuGetErrorName(CUDA_ERROR_ILLEGAL_ADDRESS, &text) == CUDA_SUCCESS);
  CHECK(std::string(text) == "CUDA_ERROR_ILLEGAL_ADDRESS");
  CHECK(cuGetErrorString(CUDA_SUCCESS, &text) == CUDA_SUCCESS);
  CHECK(std::string(text) == "no error");
  CHECK(cuGetErrorString(static_cast<CUresult>(12345), &text) == CUDA_ERROR_INVALID_VALUE);
  CHECK(text == nullptr);
  CHECK(std::string(vgpu::cuda_error_name(999)) == "CUDA_ERROR_UNKNOWN");
}
