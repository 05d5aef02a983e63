#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "executor/completion.hpp"
#include "protocol/graph.hpp"

namespace vgpu::executor {

/// Host functions of the guest, called in stream order: the driver's thread waits in run() until a thread of the guest,
/// which asked with vgpuServeHostFunctions, has run the function. They go to it one after another. Nothing of that
/// needs the reader thread: it may be within a call of the driver that waits for the function itself.
class HostFunctions {
 public:
  struct Due {
    protocol::u64 id;
    CUresult status;
    protocol::HostFunctionDue due;
  };
  /// `deliver(answer, due)` answers vgpuServeHostFunctions. `done`: word in shared memory where the guest writes the
  /// ticket of the answer that it is done with.
  using Deliver = std::function<void(Answer, const Due&)>;
  HostFunctions(Deliver deliver, protocol::u32& done) : deliver_(std::move(deliver)), done_(done) {}
  ~HostFunctions();
  HostFunctions(const HostFunctions&) = delete;
  HostFunctions& operator=(const HostFunctions&) = delete;

  /// The stream has reached function `id`: returns when the guest has run it, or when the session has ended. The
  /// driver's thread.
  void run(protocol::u64 id, CUresult status) { run({id, status, protocol::kHostFunctionOnce}); }
  /// The same for a function that a graph has, which may run more than once, also at the same time.
  void run_again(protocol::u64 id) { run({id, CUDA_SUCCESS, protocol::kHostFunctionAgain}); }
  /// Before something gets a number whose end will be told with ends(). False: there are too many of them, whose
  /// guest does not listen or never lets go of what it makes. Any thread.
  bool admit() noexcept;
  /// Nothing got the number after all, and ends() will not come. Any thread.
  void withdraw() noexcept { admitted_.fetch_sub(1, std::memory_order_relaxed); }
  /// Nothing has function or user object `id` any more, which was admitted. Does not wait. The driver's thread.
  void ends(protocol::u64 id);
  /// A thread of the guest takes what is due, from now on; the first is `first`'s answer. False: one does so already,
  /// or no thread can be had. Reader thread.
  bool serve(Answer first);
  /// True while a stream waits for a function. Any thread.
  bool busy() const noexcept { return waiting_.load(std::memory_order_acquire) != 0; }
  /// Lets everybody go, now and later. Any thread.
  void end();

 private:
  /// As many as graphs have nodes.
  static constexpr protocol::u32 kMostAdmitted = protocol::handle_limit(protocol::Kind::graph_node);

  struct Item {
    Due due;
    bool* finished;  ///< its driver's thread waits for it; null: none does
  };
  void run(const Due& due);
  void work(Answer answer);
  /// Waits until the guest has written the ticket, or the session has ended.
  void await(protocol::u32 ticket) const noexcept;

  Deliver deliver_;
  protocol::u32& done_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> due_;
  std::atomic<protocol::u32> admitted_{0};  ///< whose end was not told
  std::atomic<protocol::u32> waiting_{0};
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

}  // namespace vgpu::executor
