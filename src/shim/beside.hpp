#pragma once
#include <type_traits>
#include <utility>

namespace vgpu::shim {

/// Runs something on a helper thread of this library while its maker goes on; the destructor, or wait(), waits for it.
/// There is one helper: where it is busy, can't be made, or would have no core to run on, the job runs in wait(). It
/// takes none of the program's signals.
class Beside {
 public:
  template <typename Job>
  explicit Beside(Job& job) noexcept
      : run_([](void* data) { (*static_cast<Job*>(data))(); }), data_(&job), begun_(begin()) {
    static_assert(std::is_nothrow_invocable_v<Job&>);
  }
  ~Beside() { wait(); }
  Beside(const Beside&) = delete;
  Beside& operator=(const Beside&) = delete;
  void wait() noexcept;

 private:
  bool begin() noexcept;

  void (*const run_)(void*);
  void* const data_;
  const bool begun_;
  bool waited_ = false;
};

}  // namespace vgpu::shim
