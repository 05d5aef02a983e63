#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "executor/link.hpp"
#include "executor/signal.hpp"

namespace vgpu::executor {

/// What the daemon wants, for the reader thread: a thread of its own waits for messages, so that the busy ring costs no
/// system call to find out.
class Commands {
 public:
  enum Wish : protocol::u32 {
    kRun = 1,
    kYield = 2,
    kStop = 4,
    kGone = 8,  ///< the daemon is gone
  };

  /// `watch` is what the daemon wants to be told of calls. `force` is called if finished() does not come in time after
  /// stop or the daemon's end: then a kernel or the driver hangs.
  Commands(Link& link, Signal& signal, std::atomic<protocol::u32>& watch, std::function<void()> force);
  ~Commands();
  Commands(const Commands&) = delete;
  Commands& operator=(const Commands&) = delete;

  bool pending() const noexcept { return wishes_.load(std::memory_order_relaxed) != 0; }
  /// The wishes since the last call. Reader thread.
  protocol::u32 take() noexcept { return wishes_.exchange(0, std::memory_order_acquire); }
  /// The last run, and the order that the last yield ends. Reader thread.
  struct Lease {
    protocol::u64 order = 0;
    std::chrono::microseconds quantum{0};
    std::chrono::microseconds backlog{0};
    protocol::u64 yielded_order = 0;
    std::chrono::microseconds yield_quantum{0};
  };
  Lease lease();
  /// The reader thread has obeyed stop.
  void finished();

 private:
  void listen();
  void wish(protocol::u32 wish);
  void note(const protocol::ExecutorCommand& command);
  void wait_for_finish();

  Link& link_;
  Signal& signal_;
  std::atomic<protocol::u32>& watch_;
  std::function<void()> force_;
  std::atomic<protocol::u32> wishes_{0};
  std::mutex mutex_;
  Lease lease_;
  std::condition_variable changed_;
  bool finished_ = false;
  std::thread thread_;
};

}  // namespace vgpu::executor
