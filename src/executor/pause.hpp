#pragma once
#include <sched.h>

#include <thread>

namespace vgpu::executor {

/// One step of a busy wait. Where there are hardly more cores than waiting threads, the one that is waited for may need
/// ours, so that we offer it now and then.
class Pause {
 public:
  void step() noexcept {
    __builtin_ia32_pause();
    if (few_cores() && (++steps_ % kStepsBetweenYields) == 0) sched_yield();
  }

 private:
  static constexpr unsigned kStepsBetweenYields = 32;
  static bool few_cores() noexcept {
    static const bool few = std::thread::hardware_concurrency() <= 2;
    return few;
  }
  unsigned steps_ = 0;
};

}  // namespace vgpu::executor
