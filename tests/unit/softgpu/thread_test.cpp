#include <atomic>
#include <thread>

#include "fixture.hpp"

using softgpu_test::Gpu;
using softgpu_test::launch;

TEST_CASE("threads: eight at once, each with its streams, memory and events") {
  Gpu gpu;
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  CUfunction increment = gpu.function("increment");
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      const auto check = [&](bool good) { failures += good ? 0 : 1; };
      check(cuCtxSetCurrent(gpu.context) == CUDA_SUCCESS);
      for (int round = 0; round < 10; ++round) {
        constexpr unsigned kCount = 300;
        CUstream stream = nullptr;
        CUevent event = nullptr;
        CUdeviceptr memory = 0;
        check(cuStreamCreate(&stream, t % 2 == 0 ? CU_STREAM_DEFAULT : CU_STREAM_NON_BLOCKING) == CUDA_SUCCESS);
        check(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING) == CUDA_SUCCESS);
        check(cuMemAllocAsync(&memory, kCount * 4, stream) == CUDA_SUCCESS);
        check(cuMemsetD32Async(memory, static_cast<unsigned>(t), kCount, stream) == CUDA_SUCCESS);
        for (int i = 0; i < 5; ++i) check(launch(increment, 3, 128, stream, memory, kCount) == CUDA_SUCCESS);
        check(cuEventRecord(event, stream) == CUDA_SUCCESS);
        check(cuStreamWaitEvent(CU_STREAM_PER_THREAD, event, 0) == CUDA_SUCCESS);
        std::vector<unsigned> values(kCount);
        check(cuMemcpyDtoHAsync(values.data(), memory, kCount * 4, CU_STREAM_PER_THREAD) == CUDA_SUCCESS);
        check(values == std::vector<unsigned>(kCount, static_cast<unsigned>(t) + 5));
        check(cuMemFreeAsync(memory, CU_STREAM_PER_THREAD) == CUDA_SUCCESS);
        check(cuEventDestroy(event) == CUDA_SUCCESS);
        check(cuStreamDestroy(stream) == CUDA_SUCCESS);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(failures == 0);
  CHECK_RESULT(CUDA_SUCCESS, cuCtxSynchronize());
}

TEST_CASE("threads: one waits for a long kernel while others go on") {
  Gpu gpu;
  CUstream slow = nullptr;
  CUstream fast = nullptr;
  REQUIRE_OK(cuStreamCreate(&slow, CU_STREAM_NON_BLOCKING));
  REQUIRE_OK(cuStreamCreate(&fast, CU_STREAM_NON_BLOCKING));
  softgpu_test::Flag flag;
  REQUIRE_OK(launch(gpu.function("wait_for"), 1, 1, slow, flag.device()));
  std::atomic<bool> done{false};
  std::thread waiter([&] {
    cuCtxSetCurrent(gpu.context);
    cuStreamSynchronize(slow);
    done = true;
  });
  for (int i = 0; i < 50; ++i) {
    REQUIRE_OK(launch(gpu.function("empty"), 1, 32, fast));
    REQUIRE_OK(cuStreamSynchronize(fast));
  }
  CHECK_FALSE(done);
  flag.raise();
  waiter.join();
  CHECK(done);
}

TEST_CASE("threads: the legacy stream and blocking streams from many threads never wait for each other in a circle") {
  Gpu gpu;
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  std::atomic<int> calls{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      cuCtxSetCurrent(gpu.context);
      CUstream stream = nullptr;
      if (t != 0) cuStreamCreate(&stream, 0);
      for (int i = 0; i < 500; ++i) {
        const auto count = [](void* data) { ++*static_cast<std::atomic<int>*>(data); };
        failures += cuLaunchHostFunc(stream, count, &calls) == CUDA_SUCCESS ? 0 : 1;
        if (i % 50 == 0) failures += cuStreamSynchronize(stream) == CUDA_SUCCESS ? 0 : 1;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  REQUIRE_OK(cuCtxSynchronize());
  CHECK(failures == 0);
  CHECK(calls == 2000);
}
