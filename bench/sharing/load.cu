// A tenant for measurements of sharing: vgpu-bench-load KIND MICROSECONDS [ROUNDS]. It finds out how many rounds a
// kernel takes for so long, unless told, prints `ready ROUNDS KERNEL_SECONDS` and does what its standard input says,
// one line a command:
//   go      works without end from now on
//   count   prints `units N`: what is finished
//   stop    ends the work and prints `done units N`, or `done error NAME`; requests: `done latencies` and of each
//           request START:SECONDS, the start by the system's clock
// KIND: kernels (of about MICROSECONDS), graphs (of 20 such kernels), copies (4 MiB there and back,
// and one kernel for each), mixed (all three, in turn), requests (each about 10 ms of such kernels, then a pause of
// 10 ms), endless (one kernel that never ends), illegal (writes where nothing is after the first 100 units).
// A unit is one kernel, one graph, one pair of copies. They do the same work however long that takes.
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace {

#define CHECK(call)                                                                           \
  do {                                                                                        \
    const cudaError_t error_ = (call);                                                        \
    if (error_ != cudaSuccess) {                                                              \
      std::printf("done error %s\n", cudaGetErrorName(error_));                               \
      std::fprintf(stderr, "line %d: %s: %s\n", __LINE__, #call, cudaGetErrorString(error_)); \
      std::fflush(stdout);                                                                    \
      _exit(1);                                                                               \
    }                                                                                         \
  } while (0)

using Clock = std::chrono::steady_clock;
double seconds(Clock::duration time) { return std::chrono::duration<double>(time).count(); }

__global__ void work(unsigned* values, int rounds) {
  unsigned x = values[threadIdx.x];
  for (int i = 0; i < rounds; ++i) x = x * 1664525u + 1013904223u;
  if (x == 42) values[threadIdx.x] = x;
}
__global__ void forever(volatile unsigned* value) {
  while (*value != 1) {
  }
}
__global__ void scribble(unsigned* nowhere) { *nowhere = 1; }

constexpr int kBatches = 16;  ///< that are in flight at once
constexpr int kGraphKernels = 20;
constexpr size_t kCopyBytes = 4u << 20;
constexpr int kThreads = 256;
constexpr int kPausedFor = 10'000;  ///< microseconds between requests
constexpr double kRequest = 0.010;  ///< seconds of a request's kernels

class Load {
 public:
  Load(std::string kind, double kernel_seconds, int rounds) : kind_(std::move(kind)), rounds_(rounds) {
    CHECK(cudaMalloc(&values_, kThreads * sizeof(unsigned)));
    CHECK(cudaMemset(values_, 0, kThreads * sizeof(unsigned)));
    int blocks = 0;
    CHECK(cudaDeviceGetAttribute(&blocks, cudaDevAttrMultiProcessorCount, 0));
    blocks_ = blocks * 2;
    CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    calibrate(kernel_seconds);
    if (kind_ == "copies" || kind_ == "mixed") {
      CHECK(cudaMallocHost(&host_, kCopyBytes));
      CHECK(cudaMalloc(&device_, kCopyBytes));
    }
    if (kind_ == "graphs" || kind_ == "mixed") capture();
    for (cudaEvent_t& event : done_) CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  }
  double kernel_seconds() const { return kernel_seconds_; }
  int rounds() const { return rounds_; }

  void run();

 private:
  void kernel() { work<<<blocks_, kThreads, 0, stream_>>>(values_, rounds_); }

  /// As many rounds as take so long while nobody else works.
  void calibrate(double wanted) {
    const auto timed = [&](int count) {
      const Clock::time_point start = Clock::now();
      for (int i = 0; i < count; ++i) kernel();
      CHECK(cudaStreamSynchronize(stream_));
      return seconds(Clock::now() - start) / count;
    };
    timed(1);
    if (rounds_ != 0) {
      kernel_seconds_ = wanted;
      return;
    }
    for (rounds_ = 64; timed(4) < wanted / 2 && rounds_ < (1 << 28);) rounds_ *= 2;
    const double one = timed(32);
    rounds_ = std::max(1, static_cast<int>(rounds_ * wanted / one));
    kernel_seconds_ = timed(32);
  }

  void capture() {
    cudaGraph_t graph;
    CHECK(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
    for (int i = 0; i < kGraphKernels; ++i) kernel();
    CHECK(cudaStreamEndCapture(stream_, &graph));
    CHECK(cudaGraphInstantiate(&graph_, graph, 0));
    CHECK(cudaGraphDestroy(graph));
  }

  void copy() {
    CHECK(cudaMemcpyAsync(device_, host_, kCopyBytes, cudaMemcpyHostToDevice, stream_));
    kernel();
    CHECK(cudaMemcpyAsync(host_, device_, kCopyBytes, cudaMemcpyDeviceToHost, stream_));
  }

  /// About a millisecond of work; returns its units.
  int batch() {
    const std::string& kind = kind_ == "mixed" ? kMixed[turn_++ % 3] : kind_;
    const int kernels = std::max(1, static_cast<int>(0.001 / kernel_seconds_));
    if (kind == "graphs") {
      const int graphs = std::max(1, kernels / kGraphKernels);
      for (int i = 0; i < graphs; ++i) CHECK(cudaGraphLaunch(graph_, stream_));
      return graphs;
    }
    if (kind == "copies") {
      for (int i = 0; i < 4; ++i) copy();
      return 4;
    }
    for (int i = 0; i < kernels; ++i) kernel();
    CHECK(cudaGetLastError());
    return kernels;
  }

  void saturate();
  void requests();
  /// Obeys what has come; false: stop.
  bool obey();

  static inline const std::string kMixed[3] = {"kernels", "graphs", "copies"};
  const std::string kind_;
  int rounds_;
  unsigned* values_ = nullptr;
  void* host_ = nullptr;
  void* device_ = nullptr;
  int blocks_ = 0;
  double kernel_seconds_ = 0;
  cudaStream_t stream_{};
  cudaGraphExec_t graph_{};
  cudaEvent_t done_[kBatches]{};
  int units_[kBatches]{};
  unsigned turn_ = 0;
  long long finished_ = 0;
};

bool Load::obey() {
  pollfd input{STDIN_FILENO, POLLIN, 0};
  while (poll(&input, 1, 0) > 0) {
    char command = 0;
    if (read(STDIN_FILENO, &command, 1) != 1 || command == 's') return false;
    if (command != 'c') continue;
    std::printf("units %lld\n", finished_);
    std::fflush(stdout);
  }
  return true;
}

void Load::saturate() {
  for (unsigned i = 0; obey(); ++i) {
    const unsigned place = i % kBatches;
    CHECK(cudaEventSynchronize(done_[place]));
    finished_ += units_[place];
    units_[place] = batch();
    CHECK(cudaEventRecord(done_[place], stream_));
    if (kind_ == "illegal" && finished_ > 100) scribble<<<1, 1, 0, stream_>>>(reinterpret_cast<unsigned*>(0x10));
  }
  CHECK(cudaStreamSynchronize(stream_));
  for (const int units : units_) finished_ += units;
  std::printf("done units %lld\n", finished_);
}

void Load::requests() {
  struct Request {
    double start, seconds;
  };
  std::vector<Request> all;
  const int kernels = std::max(1, static_cast<int>(kRequest / kernel_seconds_));
  while (obey()) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const Clock::time_point start = Clock::now();
    for (int i = 0; i < kernels; ++i) kernel();
    CHECK(cudaStreamSynchronize(stream_));
    all.push_back({std::chrono::duration<double>(now).count(), seconds(Clock::now() - start)});
    std::this_thread::sleep_for(std::chrono::microseconds(kPausedFor));
  }
  std::printf("done latencies");
  for (const Request& request : all) std::printf(" %.6f:%.6f", request.start, request.seconds);
  std::printf("\n");
}

void Load::run() {
  char line[16];
  std::setvbuf(stdin, nullptr, _IONBF, 0);
  if (std::fgets(line, sizeof line, stdin) == nullptr) return;
  if (kind_ == "requests") return requests();
  if (kind_ == "endless") {
    forever<<<1, 1, 0, stream_>>>(values_);
    CHECK(cudaStreamSynchronize(stream_));
  }
  saturate();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s KIND MICROSECONDS [ROUNDS]\n", argv[0]);
    return 2;
  }
  Load load(argv[1], std::atof(argv[2]) * 1e-6, argc > 3 ? std::atoi(argv[3]) : 0);
  std::printf("ready %d %.9f\n", load.rounds(), load.kernel_seconds());
  std::fflush(stdout);
  load.run();
  std::fflush(stdout);
  // The driver would go on unloading for a while.
  _exit(0);
}
