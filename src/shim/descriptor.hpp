#pragma once
#include <unistd.h>

#include <atomic>

namespace vgpu::shim {

/// Owns a file descriptor that other threads may be looking at.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { reset(); }
  void reset(int fd = -1) noexcept {
    const int old = fd_.exchange(fd);
    if (old >= 0) ::close(old);
  }
  int take() noexcept { return fd_.exchange(-1); }
  int get() const noexcept { return fd_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int> fd_{-1};
};

}  // namespace vgpu::shim
