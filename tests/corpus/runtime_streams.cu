// Streams by the runtime's calls: order, events, priorities, host functions, callbacks; occupancy, cooperative limits.
#include <cooperative_groups.h>

#include "corpus.hpp"

using corpus::Buffer;

namespace {
constexpr int kCount = 2048;
}

__global__ void multiply_add(int* values, int factor, int more, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) values[i] = values[i] * factor + more + i;
}
__global__ void whole_grid(int* sums, const int* values) {
  const auto grid = cooperative_groups::this_grid();
  const unsigned i = static_cast<unsigned>(grid.thread_rank());
  sums[i] = values[i] * 2;
  grid.sync();
  const int beside = sums[(i + 129) % grid.num_threads()];
  grid.sync();
  sums[i] += beside;
}

namespace {

struct Log {
  std::vector<int> told;
};

void CUDART_CB tell_seven(void* log) { static_cast<Log*>(log)->told.push_back(7); }
void CUDART_CB tell_status(cudaStream_t, cudaError_t status, void* log) {
  static_cast<Log*>(log)->told.push_back(100 + status);
}

std::vector<int> multiplied(std::vector<int> values, std::vector<std::pair<int, int>> steps) {
  for (const auto& [factor, more] : steps)
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = values[i] * factor + more + static_cast<int>(i);
  return values;
}

/// What two streams do alternates only by events.
void alternation() {
  int least = 0, greatest = 0;
  CHECK(cudaDeviceGetStreamPriorityRange(&least, &greatest));
  REQUIRE(greatest <= least, "priorities %d to %d", least, greatest);
  cudaStream_t first = nullptr, second = nullptr;
  CHECK(cudaStreamCreateWithPriority(&first, cudaStreamNonBlocking, greatest));
  CHECK(cudaStreamCreateWithPriority(&second, cudaStreamNonBlocking, least));
  int priority = 99;
  unsigned flags = 0;
  CHECK(cudaStreamGetPriority(first, &priority));
  CHECK(cudaStreamGetFlags(first, &flags));
  REQUIRE(priority == greatest && flags == cudaStreamNonBlocking, "a stream of priority %d, flags %u", priority, flags);
  const Buffer<int> values(kCount);
  std::vector<std::pair<int, int>> steps;
  std::vector<cudaEvent_t> events;
  for (int round = 0; round < 12; ++round) {
    const cudaStream_t stream = round % 2 == 0 ? first : second;
    const std::pair<int, int> step(round % 3 + 1, round * 5);
    steps.push_back(step);
    multiply_add<<<kCount / 128, 128, 0, stream>>>(values.get(), step.first, step.second, kCount);
    cudaEvent_t event = nullptr;
    CHECK(cudaEventCreate(&event));
    CHECK(cudaEventRecord(event, stream));
    CHECK(cudaStreamWaitEvent(round % 2 == 0 ? second : first, event, 0));
    events.push_back(event);
  }
  CHECK(cudaEventSynchronize(events.back()));
  CHECK(cudaEventQuery(events.front()));
  float milliseconds = -1;
  CHECK(cudaEventElapsedTime(&milliseconds, events.front(), events.back()));
  REQUIRE(milliseconds >= 0, "%g milliseconds between events", static_cast<double>(milliseconds));
  corpus::exact("alternation", values.values(), multiplied(std::vector<int>(kCount), steps));
  for (const cudaEvent_t event : events) CHECK(cudaEventDestroy(event));
  CHECK(cudaStreamDestroy(first));
  CHECK(cudaStreamDestroy(second));
}

/// The legacy default stream waits for blocking streams, and they for it.
void legacy_default() {
  cudaStream_t blocking = nullptr;
  CHECK(cudaStreamCreate(&blocking));
  const Buffer<int> values(kCount);
  std::vector<std::pair<int, int>> steps;
  for (int round = 0; round < 6; ++round) {
    steps.emplace_back(round + 1, round);
    multiply_add<<<kCount / 128, 128, 0, round % 2 == 0 ? blocking : nullptr>>>(values.get(), round + 1, round, kCount);
  }
  corpus::exact("legacy_default", values.values(), multiplied(std::vector<int>(kCount), steps));
  CHECK(cudaStreamDestroy(blocking));
}

void host_calls() {
  cudaStream_t stream = nullptr;
  CHECK(cudaStreamCreate(&stream));
  const Buffer<int> values(kCount);
  Log log;
  for (int round = 0; round < 3; ++round) {
    multiply_add<<<kCount / 128, 128, 0, stream>>>(values.get(), 2, 1, kCount);
    CHECK(cudaLaunchHostFunc(stream, tell_seven, &log));
    CHECK(cudaStreamAddCallback(stream, tell_status, &log, 0));
  }
  CHECK(cudaStreamSynchronize(stream));
  corpus::exact("host_calls", log.told, {7, 100, 7, 100, 7, 100});
  CHECK(cudaStreamQuery(stream));
  CHECK(cudaStreamDestroy(stream));
}

void cooperative() {
  int blocks = 0, processors = 0, supported = 0;
  CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, whole_grid, 128, 0));
  CHECK(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0));
  CHECK(cudaDeviceGetAttribute(&supported, cudaDevAttrCooperativeLaunch, 0));
  REQUIRE(supported == 1 && blocks >= 1 && processors >= 1, "%d blocks on %d processors", blocks, processors);
  int grid_blocks = 0, block_threads = 0;
  CHECK(cudaOccupancyMaxPotentialBlockSize(&grid_blocks, &block_threads, multiply_add));
  REQUIRE(block_threads % 32 == 0 && block_threads > 0 && grid_blocks >= processors, "%d blocks of %d threads",
          grid_blocks, block_threads);
  const int few = std::min(4, blocks * processors);
  std::vector<int> in(few * 128), wanted;
  for (int i = 0; i < few * 128; ++i) in[i] = i * 3;
  for (int i = 0; i < few * 128; ++i) wanted.push_back(in[i] * 2 + in[(i + 129) % (few * 128)] * 2);
  const Buffer<int> values(in), sums(in.size());
  int* pointer_sums = sums;
  const int* pointer_values = values;
  void* arguments[] = {&pointer_sums, &pointer_values};
  CHECK(cudaLaunchCooperativeKernel(reinterpret_cast<void*>(whole_grid), dim3(few), dim3(128), arguments, 0, nullptr));
  corpus::exact("cooperative", sums.values(), wanted);
  // Behind a queue of calls the refusal is told by the next one that waits.
  cudaError_t error = cudaLaunchCooperativeKernel(reinterpret_cast<void*>(whole_grid), dim3(blocks * processors + 1),
                                                  dim3(128), arguments, 0, nullptr);
  if (error == cudaSuccess) error = cudaDeviceSynchronize();
  (void)cudaGetLastError();
  corpus::exact("cooperative_too_large", std::vector<int>{error}, std::vector<int>{cudaErrorCooperativeLaunchTooLarge});
}

}  // namespace

int main() {
  alternation();
  legacy_default();
  host_calls();
  cooperative();
  std::printf("runtime_streams: ok\n");
}
