// Functions of the host in stream order: each sees what the stream did before it, and the stream sees what it did.
#include <atomic>
#include <vector>

#include "check.hpp"

constexpr int kCount = 3000;

__global__ void add_to_all(int* values, int addend) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < kCount) values[i] += addend;
}

struct Step {
  int* pinned;
  int wanted;
  std::atomic<int>* order;
  int place = -1;
  int wrong = 0;
};

static void CUDART_CB check_and_double(void* argument) {
  Step& step = *static_cast<Step*>(argument);
  for (int i = 0; i < kCount; ++i) {
    if (step.pinned[i] != step.wanted) ++step.wrong;
    step.pinned[i] *= 2;
  }
  step.place = step.order->fetch_add(1);
}

struct Note {
  std::atomic<int> calls{0};
  cudaError_t status = cudaErrorUnknown;
  cudaStream_t stream = nullptr;
};

static void CUDART_CB take_note(cudaStream_t stream, cudaError_t status, void* argument) {
  Note& note = *static_cast<Note*>(argument);
  note.status = status;
  note.stream = stream;
  ++note.calls;
}

int main() {
  const size_t bytes = kCount * sizeof(int);
  const int rounds = 12;
  std::atomic<int> order{0};
  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  int *device, *pinned;
  CHECK(cudaMalloc(&device, bytes));
  CHECK(cudaMallocHost(&pinned, bytes));
  CHECK(cudaMemsetAsync(device, 0, bytes, stream));
  std::vector<Step> steps(rounds);
  int value = 0;
  for (int i = 0; i < rounds; ++i) {
    add_to_all<<<(kCount + 127) / 128, 128, 0, stream>>>(device, i + 1);
    CHECK(cudaGetLastError());
    value += i + 1;
    steps[i].pinned = pinned;
    steps[i].wanted = value;
    steps[i].order = &order;
    CHECK(cudaMemcpyAsync(pinned, device, bytes, cudaMemcpyDeviceToHost, stream));
    CHECK(cudaLaunchHostFunc(stream, check_and_double, &steps[i]));
    CHECK(cudaMemcpyAsync(device, pinned, bytes, cudaMemcpyHostToDevice, stream));
    value *= 2;
  }
  Note note;
  CHECK(cudaStreamAddCallback(stream, take_note, &note, 0));
  CHECK(cudaStreamSynchronize(stream));
  for (int i = 0; i < rounds; ++i) {
    REQUIRE(steps[i].wrong == 0, "host function %d saw %d wrong values", i, steps[i].wrong);
    REQUIRE(steps[i].place == i, "host function %d ran as number %d", i, steps[i].place);
  }
  REQUIRE(note.calls == 1 && note.status == cudaSuccess && note.stream == stream,
          "the callback ran %d times, status %d", note.calls.load(), static_cast<int>(note.status));
  std::vector<int> last(kCount);
  CHECK(cudaMemcpy(last.data(), device, bytes, cudaMemcpyDeviceToHost));
  for (int i = 0; i < kCount; ++i) REQUIRE(last[i] == value, "element %d is %d, not %d", i, last[i], value);

  // On the default stream too, and the whole device waits for it.
  Step once;
  once.pinned = pinned;
  once.order = &order;
  once.wanted = value;
  for (int i = 0; i < kCount; ++i) pinned[i] = value;
  CHECK(cudaLaunchHostFunc(0, check_and_double, &once));
  CHECK(cudaDeviceSynchronize());
  REQUIRE(once.place == rounds && once.wrong == 0, "the default stream's host function: place %d, %d wrong", once.place,
          once.wrong);
  CHECK(cudaFreeHost(pinned));
  CHECK(cudaFree(device));
  CHECK(cudaStreamDestroy(stream));
  std::printf("host_function: ok, %d functions in order, 1 callback\n", rounds + 1);
  return 0;
}
