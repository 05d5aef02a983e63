// Two streams and events: order across streams by cudaStreamWaitEvent, an event that is not ready while its kernel runs
// (which waits for a word from the host), elapsed time, streams without blocking and with priorities.
#include <vector>

#include "check.hpp"

__global__ void fill(int* values, int count, int value) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) values[i] = value;
}

__global__ void multiply_add(int* values, int count, int factor, int addend) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x)
    values[i] = values[i] * factor + addend;
}

/// Waits until the host writes to `go`, but not forever: longer than a host that is itself emulated takes for its
/// calls.
__global__ void wait_for_host(volatile int* go, int* gave_up) {
  for (long long i = 0; i < 10000000000; ++i)
    if (*go != 0) return;
  *gave_up = 1;
}

static void expect_all(const std::vector<int>& values, int wanted, const char* what) {
  for (size_t i = 0; i < values.size(); ++i)
    REQUIRE(values[i] == wanted, "%s: element %zu is %d, not %d", what, i, values[i], wanted);
}

int main() {
  const int count = 40000;
  const size_t bytes = count * sizeof(int);
  cudaStream_t a, b;
  CHECK(cudaStreamCreate(&a));
  int least, greatest;
  CHECK(cudaDeviceGetStreamPriorityRange(&least, &greatest));
  REQUIRE(greatest <= least, "priorities go from %d to %d", least, greatest);
  CHECK(cudaStreamCreateWithPriority(&b, cudaStreamNonBlocking, greatest));
  unsigned flags = 0;
  int priority = 1;
  CHECK(cudaStreamGetFlags(b, &flags));
  CHECK(cudaStreamGetPriority(b, &priority));
  REQUIRE(flags == cudaStreamNonBlocking && priority == greatest, "flags %u, priority %d", flags, priority);

  cudaEvent_t start, middle, stop;
  CHECK(cudaEventCreate(&start));
  CHECK(cudaEventCreateWithFlags(&middle, cudaEventDisableTiming));
  CHECK(cudaEventCreate(&stop));
  int* values;
  CHECK(cudaMalloc(&values, bytes));

  // Each round hands the buffer from one stream to the other and back: a missed wait gives another number.
  CHECK(cudaEventRecord(start, a));
  int wanted = 1;
  fill<<<8, 128, 0, a>>>(values, count, wanted);
  for (int round = 0; round < 10; ++round) {
    CHECK(cudaEventRecord(middle, a));
    CHECK(cudaStreamWaitEvent(b, middle, 0));
    multiply_add<<<8, 128, 0, b>>>(values, count, 3, round);
    CHECK(cudaEventRecord(middle, b));
    CHECK(cudaStreamWaitEvent(a, middle, 0));
    multiply_add<<<8, 128, 0, a>>>(values, count, 1, 7);
    wanted = wanted * 3 + round + 7;
    if (round % 3 == 2) {
      std::vector<int> now(count);
      CHECK(cudaMemcpyAsync(now.data(), values, bytes, cudaMemcpyDeviceToHost, a));
      CHECK(cudaStreamSynchronize(a));
      expect_all(now, wanted, "hand-over");
    }
  }
  CHECK(cudaEventRecord(stop, a));
  CHECK(cudaEventSynchronize(stop));
  EXPECT(cudaSuccess, cudaEventQuery(stop));
  float milliseconds = -1;
  CHECK(cudaEventElapsedTime(&milliseconds, start, stop));
  REQUIRE(milliseconds >= 0 && milliseconds < 600000, "elapsed time is %g ms", milliseconds);
  EXPECT(cudaErrorInvalidResourceHandle, cudaEventElapsedTime(&milliseconds, start, middle));

  // An event behind a kernel that waits for this thread can't be ready; the other stream's can.
  volatile int* go;
  int* gave_up;
  CHECK(cudaHostAlloc(const_cast<int**>(&go), sizeof(int), cudaHostAllocMapped));
  CHECK(cudaHostAlloc(&gave_up, sizeof(int), cudaHostAllocMapped));
  *go = 0;
  *gave_up = 0;
  volatile int* device_go;
  int* device_gave_up;
  CHECK(cudaHostGetDevicePointer(const_cast<int**>(&device_go), const_cast<int*>(go), 0));
  CHECK(cudaHostGetDevicePointer(&device_gave_up, gave_up, 0));
  wait_for_host<<<1, 1, 0, a>>>(device_go, device_gave_up);
  CHECK(cudaGetLastError());
  CHECK(cudaEventRecord(stop, a));
  EXPECT(cudaErrorNotReady, cudaEventQuery(stop));
  EXPECT(cudaErrorNotReady, cudaStreamQuery(a));
  EXPECT(cudaErrorNotReady, cudaEventElapsedTime(&milliseconds, start, stop));
  fill<<<8, 128, 0, b>>>(values, count, 99);
  CHECK(cudaStreamSynchronize(b));
  EXPECT(cudaSuccess, cudaStreamQuery(b));
  EXPECT(cudaErrorNotReady, cudaEventQuery(stop));
  *go = 1;
  CHECK(cudaEventSynchronize(stop));
  EXPECT(cudaSuccess, cudaStreamQuery(a));
  REQUIRE(*gave_up == 0, "the waiting kernel never saw the host's word");
  std::vector<int> last(count);
  CHECK(cudaMemcpyAsync(last.data(), values, bytes, cudaMemcpyDeviceToHost, b));
  CHECK(cudaStreamSynchronize(b));
  expect_all(last, 99, "beside a waiting kernel");

  CHECK(cudaFreeHost(const_cast<int*>(go)));
  CHECK(cudaFreeHost(gave_up));
  CHECK(cudaFree(values));
  CHECK(cudaEventDestroy(start));
  CHECK(cudaEventDestroy(middle));
  CHECK(cudaEventDestroy(stop));
  CHECK(cudaStreamDestroy(a));
  CHECK(cudaStreamDestroy(b));
  std::printf("streams_events: ok, 10 hand-overs in %.3f ms\n", milliseconds);
  return 0;
}
