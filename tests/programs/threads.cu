// Eight host threads at once, half with streams of their own, half with the per-thread default stream; each checks its
// own results, and all of them count together in one word of the device.
#include <thread>
#include <vector>

#include "check.hpp"

constexpr int kThreads = 8;
constexpr int kRounds = 15;
constexpr int kCount = 5000;

__global__ void mix(unsigned* values, int count, unsigned seed) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) values[i] = (values[i] ^ seed) * 2654435761u + i;
}

__global__ void count_up(unsigned long long* total) { atomicAdd(total, 1ull); }

static void work(int number, unsigned long long* total) {
  CHECK(cudaSetDevice(0));
  cudaStream_t stream = cudaStreamPerThread;
  if (number % 2 == 0) CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  cudaEvent_t event;
  CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  for (int round = 0; round < kRounds; ++round) {
    std::vector<unsigned> values(kCount), got(kCount);
    Numbers numbers(number * 1000 + round);
    for (unsigned& value : values) value = static_cast<unsigned>(numbers.next());
    unsigned* device;
    CHECK(cudaMalloc(&device, kCount * sizeof(unsigned)));
    CHECK(cudaMemcpyAsync(device, values.data(), kCount * sizeof(unsigned), cudaMemcpyHostToDevice, stream));
    for (unsigned seed = 0; seed < 3; ++seed) {
      mix<<<(kCount + 255) / 256, 256, 0, stream>>>(device, kCount, seed + number);
      CHECK(cudaGetLastError());
    }
    count_up<<<2, 32, 0, stream>>>(total);
    CHECK(cudaMemcpyAsync(got.data(), device, kCount * sizeof(unsigned), cudaMemcpyDeviceToHost, stream));
    CHECK(cudaEventRecord(event, stream));
    if (round % 2 == 0)
      CHECK(cudaEventSynchronize(event));
    else
      CHECK(cudaStreamSynchronize(stream));
    for (int i = 0; i < kCount; ++i) {
      unsigned wanted = values[i];
      for (unsigned seed = 0; seed < 3; ++seed) wanted = (wanted ^ (seed + number)) * 2654435761u + i;
      REQUIRE(got[i] == wanted, "thread %d, round %d: element %d is %08x, not %08x", number, round, i, got[i], wanted);
    }
    CHECK(cudaFree(device));
  }
  CHECK(cudaEventDestroy(event));
  if (number % 2 == 0) CHECK(cudaStreamDestroy(stream));
}

int main() {
  unsigned long long* total;
  CHECK(cudaMalloc(&total, sizeof *total));
  CHECK(cudaMemset(total, 0, sizeof *total));
  CHECK(cudaDeviceSynchronize());
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back(work, i, total);
  for (std::thread& thread : threads) thread.join();
  unsigned long long counted = 0;
  CHECK(cudaMemcpy(&counted, total, sizeof counted, cudaMemcpyDeviceToHost));
  REQUIRE(counted == 64ull * kThreads * kRounds, "%llu were counted, not %llu", counted, 64ull * kThreads * kRounds);
  CHECK(cudaFree(total));
  std::printf("threads: ok, %d threads, %d rounds each, %llu counted\n", kThreads, kRounds, counted);
  return 0;
}
