#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <stdexcept>

#include "calls.hpp"

namespace vgpu::bench {
namespace {

double cpu_microseconds() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto of = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
  };
  return of(used.ru_utime) + of(used.ru_stime);
}

/// The kernel `integer`, one warp of it, in as many rounds as are wanted.
class LongKernel {
 public:
  explicit LongKernel(const Device& device) : device_(device), kernel_(device.function("integer")) {
    device_.driver().check(device_.driver().cuMemAlloc_p(&out_, 4096), "cuMemAlloc");
  }
  LongKernel(const LongKernel&) = delete;
  LongKernel& operator=(const LongKernel&) = delete;
  ~LongKernel() { device_.driver().cuMemFree_p(out_); }

  void launch(unsigned rounds) {
    std::array<void*, 2> parameters{&out_, &rounds};
    device_.driver().check(
        device_.driver().cuLaunchKernel_p(kernel_, 1, 1, 1, 32, 1, 1, 0, device_.stream(), parameters.data(), nullptr),
        "cuLaunchKernel");
  }
  /// Rounds that take `wanted` microseconds. Throws where no number of them does.
  unsigned rounds_for(double wanted) {
    for (unsigned rounds = 1000; rounds < (1u << 30); rounds *= 4) {
      const auto start = Clock::now();
      launch(rounds);
      device_.synchronize();
      const double taken = microseconds(start, Clock::now());
      if (taken > wanted / 50) return static_cast<unsigned>(rounds * std::min(wanted / taken, 4e9 / rounds));
    }
    throw std::runtime_error("no number of rounds lasts long enough");
  }

 private:
  const Device& device_;
  CUfunction kernel_;
  CUdeviceptr out_ = 0;
};

/// Percent of a core that this process uses while it waits.
Figures wait_cpu(const Device& device, const Effort& effort) {
  LongKernel kernel(device);
  const unsigned rounds = kernel.rounds_for(effort.quick ? 5e4 : 1e6);
  Figures figures;
  figures.times = effort.quick ? 1 : 2;
  for (unsigned long i = 0; i < figures.times; ++i) {
    kernel.launch(rounds);
    const auto start = Clock::now();
    const double before = cpu_microseconds();
    device.synchronize();
    figures.samples.push_back(100 * (cpu_microseconds() - before) / microseconds(start, Clock::now()));
  }
  return figures;
}

}  // namespace

std::vector<Row> wait_rows() { return {{"wait_cpu", wait_cpu}}; }

}  // namespace vgpu::bench
