#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "executor/contexts.hpp"

namespace vgpu::executor {

/// Something that may take long. Destroyed after it ran, or unrun when the pool stops.
class Job {
 public:
  virtual ~Job() = default;
  /// `current` belongs to the worker thread. Throws nothing.
  virtual void run(CurrentContext& current) noexcept = 0;
};

/// Threads for calls that block. Grows while all are busy, never shrinks.
class Workers {
 public:
  static constexpr unsigned kMaxThreads = 256;

  /// `job_done` is called by a worker after each job.
  Workers(const Driver& cuda, const Contexts& contexts, std::function<void()> job_done);
  /// Waits for the jobs that run; drops the others.
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  /// Queues a job. Any thread.
  void post(std::unique_ptr<Job> job);
  /// True if a job posted now would not have to wait for another one's end.
  bool has_room() const noexcept { return outstanding_.load(std::memory_order_acquire) < kMaxThreads; }
  /// Jobs that were posted and have not ended. Any thread.
  unsigned outstanding() const noexcept { return outstanding_.load(std::memory_order_acquire); }

 private:
  void work();
  std::unique_ptr<Job> next();

  const Driver& cuda_;
  const Contexts& contexts_;
  std::function<void()> job_done_;
  std::atomic<unsigned> outstanding_{0};
  std::atomic<unsigned> queued_{0};
  std::mutex mutex_;
  std::condition_variable posted_;
  std::deque<std::unique_ptr<Job>> queue_;
  unsigned asleep_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace vgpu::executor
