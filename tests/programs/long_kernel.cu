// One thread waits for a kernel that ends only when the host says so; meanwhile four other threads finish all of their
// work, and only then does the host say so. If a waiting thread held the others up, this would never come to its end:
// the order is what is checked, not the time.
#include <atomic>
#include <thread>
#include <vector>

#include "check.hpp"

constexpr int kThreads = 4;
constexpr int kRounds = 25;

__global__ void wait_for_host(volatile int* go, volatile int* state) {
  *state = 1;
  for (int i = 0; i < 200000000; ++i)
    if (*go != 0) {
      *state = 2;
      return;
    }
  *state = 3;
}

__global__ void add_one(int* value) { *value += 1; }

static int* mapped(volatile int** host) {
  int* pointer;
  int* device;
  CHECK(cudaHostAlloc(&pointer, sizeof(int), cudaHostAllocMapped));
  *pointer = 0;
  CHECK(cudaHostGetDevicePointer(&device, pointer, 0));
  *host = pointer;
  return device;
}

int main() {
  volatile int *go, *state;
  int* device_go = mapped(&go);
  int* device_state = mapped(&state);
  // Loads the kernels and makes what is made on first use, before anything waits.
  int* warm;
  CHECK(cudaMalloc(&warm, sizeof(int)));
  CHECK(cudaMemset(warm, 0, sizeof(int)));
  add_one<<<1, 1>>>(warm);
  cudaFuncAttributes attributes;
  CHECK(cudaFuncGetAttributes(&attributes, wait_for_host));
  CHECK(cudaDeviceSynchronize());
  std::vector<int*> values(kThreads);
  for (int*& value : values) {
    CHECK(cudaMalloc(&value, sizeof(int)));
    CHECK(cudaMemset(value, 0, sizeof(int)));
  }
  CHECK(cudaDeviceSynchronize());

  std::atomic<bool> waiting{false}, waited{false};
  std::thread waiter([&] {
    cudaStream_t stream;
    CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    wait_for_host<<<1, 1, 0, stream>>>(device_go, device_state);
    CHECK(cudaGetLastError());
    waiting = true;
    CHECK(cudaStreamSynchronize(stream));
    waited = true;
    CHECK(cudaStreamDestroy(stream));
  });
  while (!waiting || *state == 0) std::this_thread::yield();

  std::vector<std::thread> threads;
  std::atomic<int> done{0};
  for (int number = 0; number < kThreads; ++number)
    threads.emplace_back([&, number] {
      cudaStream_t stream;
      CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
      for (int round = 1; round <= kRounds; ++round) {
        add_one<<<1, 1, 0, stream>>>(values[number]);
        int value = 0;
        CHECK(cudaMemcpyAsync(&value, values[number], sizeof value, cudaMemcpyDeviceToHost, stream));
        CHECK(cudaStreamSynchronize(stream));
        REQUIRE(value == round, "thread %d reads %d, not %d", number, value, round);
        size_t free_bytes, total_bytes;
        CHECK(cudaMemGetInfo(&free_bytes, &total_bytes));
        ++done;
      }
      CHECK(cudaStreamDestroy(stream));
    });
  for (std::thread& thread : threads) thread.join();
  REQUIRE(*state != 3, "the long kernel gave up after %d rounds of the others", done.load());
  REQUIRE(!waited && *state == 1, "the long kernel ended before it was told to (state %d)", *state);
  REQUIRE(done == kThreads * kRounds, "%d rounds were done", done.load());
  *go = 1;
  waiter.join();
  REQUIRE(waited && *state == 2, "the long kernel left state %d", *state);
  for (int* value : values) CHECK(cudaFree(value));
  CHECK(cudaFree(warm));
  CHECK(cudaFreeHost(const_cast<int*>(go)));
  CHECK(cudaFreeHost(const_cast<int*>(state)));
  std::printf("long_kernel: ok, %d rounds of %d threads while one waited\n", kThreads * kRounds, kThreads);
  return 0;
}
