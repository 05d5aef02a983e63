#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <unordered_set>

#include "executor/completion.hpp"
#include "protocol/graph.hpp"

namespace vgpu::executor {

/// Host functions of the guest, called in stream order: the driver's thread waits in run() while the guest's thread,
/// which asked with vgpuNextHostFunction, runs the function and answers with vgpuHostFunctionDone.
class HostFunctions {
 public:
  struct Due {
    protocol::u64 id;
    CUresult status;
    protocol::HostFunctionDue due;
    protocol::u64 run;  ///< one run of the function: the id, for functions that run once
  };
  /// `fetch(answer, due)` answers a vgpuNextHostFunction.
  using Fetch = std::function<void(Answer, const Due&)>;
  /// `reached` is called whenever a stream begins to wait.
  HostFunctions(Fetch fetch, std::function<void()> reached) : fetch_(std::move(fetch)), reached_(std::move(reached)) {}

  /// The stream has reached function `id`: returns when the guest has run it, or when the session has ended. The
  /// driver's thread.
  void run(protocol::u64 id, CUresult status);
  /// The same for a function that a graph has, which may run more than once, also at the same time.
  void run_again(protocol::u64 id);
  /// Nothing has function or user object `id` any more. Does not wait. The driver's thread.
  void ends(protocol::u64 id);
  /// A thread of the guest waits for a function to run. Reader thread.
  void next(Answer answer);
  /// The guest ran it. False: it was not waited for. Reader thread.
  bool done(protocol::u64 run);
  /// Lets everybody go, now and later. Any thread.
  void end();
  /// True while a stream waits for the guest. Any thread.
  bool waiting() const noexcept { return waiting_.load(std::memory_order_acquire) != 0; }

 private:
  /// Runs of functions that run again, apart from all ids that guests count up to.
  static constexpr protocol::u64 kAgain = protocol::u64{1} << 63;
  void tell(const Due& due);
  void wait(std::unique_lock<std::mutex>& lock, const Due& due);

  Fetch fetch_;
  std::function<void()> reached_;
  std::atomic<unsigned> waiting_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Due> due_;
  std::deque<Answer> askers_;
  std::unordered_set<protocol::u64> running_;  ///< runs that a stream has reached and that are not done
  protocol::u64 next_run_ = kAgain;
  bool ended_ = false;
};

}  // namespace vgpu::executor
