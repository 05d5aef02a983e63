#include "shim/beside.hpp"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <atomic>
#include <mutex>

#include "shim/futex.hpp"

namespace vgpu::shim {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

struct Helper {
  std::mutex mutex;     ///< held while somebody's job runs
  bool exists = false;  ///< guarded by the mutex, as are the next two
  void (*run)(void*) = nullptr;
  void* data = nullptr;
  std::uint32_t posted = 0;  ///< jobs so far
  std::uint32_t ended = 0;
};
/// Never destroyed: the helper sleeps on it until the process is gone.
Helper& helper() noexcept {
  static Helper* const made = new Helper;
  return *made;
}

std::atomic_ref<std::uint32_t> word(std::uint32_t& value) noexcept { return std::atomic_ref<std::uint32_t>(value); }

void wait_until_differs(std::uint32_t& value, std::uint32_t known) noexcept {
  while (word(value).load(std::memory_order_acquire) == known) futex_wait(value, known, kSecond, false);
}

void* serve(void*) noexcept {
  Helper& self = helper();
  for (std::uint32_t done = 0;; ++done) {
    wait_until_differs(self.posted, done);
    self.run(self.data);
    word(self.ended).store(done + 1, std::memory_order_release);
    futex_wake(self.ended, 1, false);
  }
  return nullptr;
}

bool make_helper() noexcept {
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  const bool made = ::pthread_create(&thread, nullptr, serve, nullptr) == 0;
  if (made) ::pthread_detach(thread);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return made;
}

bool has_cores() noexcept {
  static const bool several = [] {
    cpu_set_t set;
    CPU_ZERO(&set);
    return ::sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) >= 2;
  }();
  return several;
}

}  // namespace

bool Beside::begin() noexcept {
  Helper& its = helper();
  if (!has_cores() || !its.mutex.try_lock()) return false;
  if (!its.exists && !(its.exists = make_helper())) {
    its.mutex.unlock();
    return false;
  }
  its.run = run_;
  its.data = data_;
  word(its.posted).fetch_add(1, std::memory_order_release);
  futex_wake(its.posted, 1, false);
  return true;
}

void Beside::wait() noexcept {
  if (std::exchange(waited_, true)) return;
  if (!begun_) return run_(data_);
  Helper& its = helper();
  wait_until_differs(its.ended, word(its.posted).load(std::memory_order_relaxed) - 1);
  its.mutex.unlock();
}

}  // namespace vgpu::shim
