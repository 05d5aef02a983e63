#include "executor/driver_poll.hpp"

#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <ctime>

namespace vgpu::executor {
namespace {

constexpr const char* kDriversThread = "cuda-EvtHandlr";
constexpr nfds_t kMostDescriptors = 63;
/// Who waits longer than this at a time wakes nobody often.
constexpr int kOftenMs = 1000;

std::atomic<bool> idle_now{false};
std::atomic<bool> sleeping{false};  ///< the driver's thread, without end

/// Written when the session goes on; -1: there is none, and nobody sleeps longer.
int wake_descriptor() noexcept {
  static const int descriptor = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return descriptor;
}

bool is_drivers_thread() noexcept {
  std::array<char, 16> name{};
  return ::prctl(PR_GET_NAME, name.data(), 0, 0, 0) == 0 && std::strcmp(name.data(), kDriversThread) == 0;
}

int poll_for(pollfd* descriptors, nfds_t count, int milliseconds) noexcept {
  timespec time{milliseconds / 1000, milliseconds % 1000 * 1'000'000L};
  return ::ppoll(descriptors, count, milliseconds < 0 ? nullptr : &time, nullptr);
}

/// 0, as after its time, when the session goes on.
int poll_until_awake(pollfd* descriptors, nfds_t count) noexcept {
  std::array<pollfd, kMostDescriptors + 1> all{};
  std::copy_n(descriptors, count, all.begin());
  all[count] = {wake_descriptor(), POLLIN, 0};
  const int found = ::ppoll(all.data(), count + 1, nullptr, nullptr);
  if (found < 0) return found;
  for (nfds_t i = 0; i < count; ++i) descriptors[i].revents = all[i].revents;
  if (all[count].revents == 0) return found;
  std::uint64_t wakes = 0;
  [[maybe_unused]] const ssize_t got = ::read(all[count].fd, &wakes, sizeof wakes);
  return found - 1;
}

}  // namespace

int poll_for_driver(pollfd* descriptors, nfds_t count, int timeout) noexcept {
  if (timeout <= 0 || timeout > kOftenMs || count > kMostDescriptors || !idle_now.load(std::memory_order_relaxed) ||
      !is_drivers_thread() || wake_descriptor() < 0)
    return poll_for(descriptors, count, timeout);
  sleeping.store(true, std::memory_order_seq_cst);
  // Either this sees that the session goes on, or whoever lets it go on sees that this sleeps.
  const int found = idle_now.load(std::memory_order_seq_cst) ? poll_until_awake(descriptors, count)
                                                             : poll_for(descriptors, count, timeout);
  sleeping.store(false, std::memory_order_seq_cst);
  return found;
}

void let_driver_sleep(bool idle) noexcept {
  idle_now.store(idle, std::memory_order_seq_cst);
  if (idle || !sleeping.load(std::memory_order_seq_cst)) return;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t sent = ::write(wake_descriptor(), &one, sizeof one);
}

}  // namespace vgpu::executor

// A sanitizer's runtime has a poll() of its own.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
extern "C" __attribute__((visibility("default"))) int poll(pollfd* descriptors, nfds_t count, int timeout) {
  return vgpu::executor::poll_for_driver(descriptors, count, timeout);
}
#endif
