#include "executor/workers.hpp"

#include <sys/prctl.h>

#include <chrono>
#include <system_error>

#include "executor/pause.hpp"

namespace vgpu::executor {

namespace {
/// Allocations come in bursts: a worker that waits this long for the next one saves its thread's wake-up.
constexpr std::chrono::microseconds kSpin{30};
/// By how much the kernel may end a sleep late: 50 us unless told, longer than most naps of waits.
constexpr unsigned long kTimerSlackNanoseconds = 1000;
}  // namespace

Workers::Workers(const Driver& cuda, const Contexts& contexts, std::function<void()> job_done)
    : cuda_(cuda), contexts_(contexts), job_done_(std::move(job_done)) {}

Workers::~Workers() {
  std::vector<std::thread> threads;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    queue_.clear();
    queued_.store(0, std::memory_order_relaxed);
    threads.swap(threads_);
  }
  posted_.notify_all();
  for (std::thread& thread : threads) thread.join();
}

void Workers::post(std::unique_ptr<Job> job) {
  std::lock_guard lock(mutex_);
  if (stopping_) return;
  queue_.push_back(std::move(job));
  queued_.fetch_add(1, std::memory_order_release);
  const unsigned outstanding = outstanding_.fetch_add(1, std::memory_order_acq_rel) + 1;
  if (outstanding > threads_.size() && threads_.size() < kMaxThreads) {
    try {
      threads_.emplace_back([this] { work(); });
    } catch (const std::system_error&) {
      // No more threads to be had: the ones there are take it in turn. With none at all nothing could be answered.
      if (threads_.empty()) throw;
    }
  }
  if (asleep_ != 0) posted_.notify_one();
}

std::unique_ptr<Job> Workers::next() {
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  Pause pause;
  while (queued_.load(std::memory_order_acquire) == 0 && std::chrono::steady_clock::now() < deadline) pause.step();
  std::unique_lock lock(mutex_);
  ++asleep_;
  posted_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
  --asleep_;
  if (stopping_) return nullptr;
  std::unique_ptr<Job> job = std::move(queue_.front());
  queue_.pop_front();
  queued_.fetch_sub(1, std::memory_order_relaxed);
  return job;
}

void Workers::work() {
  ::prctl(PR_SET_TIMERSLACK, kTimerSlackNanoseconds, 0, 0, 0);
  CurrentContext current(cuda_, contexts_);
  while (std::unique_ptr<Job> job = next()) {
    job->run(current);
    job.reset();
    outstanding_.fetch_sub(1, std::memory_order_acq_rel);
    job_done_();
  }
}

}  // namespace vgpu::executor
