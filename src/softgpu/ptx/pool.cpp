#include <sched.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <list>
#include <mutex>
#include <thread>
#include <utility>

#include "softgpu/ptx/brake.hpp"
#include "softgpu/ptx/machine.hpp"

namespace vgpu::softgpu::ptx {
namespace {

using Clock = std::chrono::steady_clock;

/// Instructions that a warp runs before another has its turn: well under a millisecond.
constexpr std::uint32_t kSlice = 4096;
/// How long a thread stays with a block while others wait. Short where blocks wait for each other.
constexpr auto kQuantum = std::chrono::milliseconds(5);
constexpr auto kCooperativeQuantum = std::chrono::microseconds(100);
/// Started blocks of a launch that are kept while others get a turn. Blocks of a plain launch may wait for each other
/// too, as far as a GPU holds them at the same time.
constexpr std::size_t kResidentBlocks = 256;
/// A launch that a brake holds back is looked at this often, for it may be cancelled.
constexpr auto kHold = std::chrono::milliseconds(5);

bool cancelled(const Launch& launch) noexcept {
  return launch.cancel != nullptr && launch.cancel->load(std::memory_order_relaxed);
}

/// A launch in progress. Guarded by the pool's mutex, but for the blocks that a thread has taken out.
struct Job {
  Grid grid;
  std::uint64_t next = 0;  ///< the first block that was not started
  std::uint64_t finished = 0;
  std::size_t running = 0;   ///< blocks in the hands of threads
  std::size_t resident = 0;  ///< started and not finished
  bool stop = false;
  bool prefer_fresh = false;
  std::deque<std::unique_ptr<Block>> suspended;
  std::vector<std::unique_ptr<Block>> spare;
  std::uint64_t lane_instructions = 0;
  std::uint32_t slice = kSlice;
  Clock::time_point held_until = Clock::time_point::min();  ///< by the launch's brake
  Outcome outcome;
  std::condition_variable changed;  ///< the caller of run() waits here

  bool fresh_left() const noexcept { return next < grid.blocks; }
  bool may_start() const noexcept {
    return fresh_left() && (grid.launch->cooperative || resident < kResidentBlocks || suspended.empty());
  }
  bool has_work() const noexcept { return !stop && (fresh_left() || !suspended.empty()); }
  /// Counts what a block has run. With a brake the launch goes on when the device would have done it.
  void charge(std::uint64_t count) noexcept {
    lane_instructions += count;
    if (grid.launch->brake != nullptr) held_until = grid.launch->brake->charge(count);
  }
  bool held(Clock::time_point now) const noexcept {
    return now < held_until && now < grid.launch->deadline && !cancelled(*grid.launch);
  }
  bool held() const noexcept { return grid.launch->brake != nullptr && held(Clock::now()); }
  Clock::time_point next_look() const noexcept { return std::min(held_until, Clock::now() + kHold); }
  bool complete() const noexcept { return running == 0 && (stop || finished == grid.blocks); }
};

class PoolImpl final : public Pool {
 public:
  explicit PoolImpl(unsigned threads) {
    for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this, i] { work(i + 1); });
  }
  ~PoolImpl() override {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  Outcome run(const Launch& launch) override;

 private:
  void work(unsigned slot);
  /// Takes one block of the job and runs it for a while. The lock is released meanwhile.
  void serve(Job& job, std::unique_lock<std::mutex>& lock, unsigned slot);
  /// The job to serve next. Null if there is none; then `look` is when to ask again, at the latest.
  Job* pick(Clock::time_point& look);
  std::unique_ptr<Block> take(Job& job, bool& fresh, std::uint64_t& index);
  /// Runs a block until it ends, faults, is cancelled or should give way. True if it can go on later.
  bool run_block(Job& job, Block& block);

  std::mutex mutex_;
  std::condition_variable wake_;
  std::list<Job*> jobs_;  ///< the front is served next
  bool ending_ = false;
  std::atomic<std::uint64_t> next_grid_{1};
  std::vector<std::thread> threads_;
};

Job* PoolImpl::pick(Clock::time_point& look) {
  look = Clock::time_point::max();
  for (auto it = jobs_.begin(); it != jobs_.end(); ++it) {
    Job* job = *it;
    if (!job->has_work()) continue;
    if (job->held()) {
      look = std::min(look, job->next_look());
      continue;
    }
    jobs_.splice(jobs_.end(), jobs_, it);
    return job;
  }
  return nullptr;
}

std::unique_ptr<Block> PoolImpl::take(Job& job, bool& fresh, std::uint64_t& index) {
  std::unique_ptr<Block> block;
  ++job.running;
  fresh = job.may_start() && (job.suspended.empty() || job.prefer_fresh || job.grid.launch->cooperative);
  job.prefer_fresh = !fresh;
  if (!fresh) {
    block = std::move(job.suspended.front());
    job.suspended.pop_front();
    return block;
  }
  index = job.next++;
  ++job.resident;
  if (job.spare.empty()) return nullptr;
  block = std::move(job.spare.back());
  job.spare.pop_back();
  return block;
}

bool PoolImpl::run_block(Job& job, Block& block) {
  const Launch& launch = *job.grid.launch;
  const auto quantum = launch.cooperative ? std::chrono::duration_cast<Clock::duration>(kCooperativeQuantum)
                                          : std::chrono::duration_cast<Clock::duration>(kQuantum);
  const auto end = Clock::now() + quantum;
  const auto give_up = [&](Fault fault, const char* why) {
    block.outcome.fault = fault;
    block.outcome.kernel = job.grid.function->name;
    block.outcome.detail = why;
    return false;
  };
  for (;;) {
    if (cancelled(launch)) return give_up(Fault::cancelled, "the launch was cancelled");
    if (block.run(job.slice) != Block::Status::running) return false;
    const auto now = Clock::now();
    if (now >= launch.deadline) return give_up(Fault::timeout, "the launch took longer than its limit");
    if (now >= end || launch.brake != nullptr) return true;
  }
}

void PoolImpl::serve(Job& job, std::unique_lock<std::mutex>& lock, unsigned slot) {
  bool fresh = false;
  std::uint64_t index = 0;
  std::unique_ptr<Block> block = take(job, fresh, index);
  lock.unlock();
  bool goes_on = false;
  std::uint64_t executed = 0;
  Outcome failure;
  try {
    if (block == nullptr) block = std::make_unique<Block>();
    if (fresh) block->start(job.grid, index, slot);
    goes_on = run_block(job, *block);
    executed = std::exchange(block->lane_instructions, 0);
    if (block->outcome.fault != Fault::none) failure = std::move(block->outcome);
  } catch (const std::bad_alloc&) {
    failure.fault = Fault::trap;
    failure.kernel = job.grid.function->name;
    failure.detail = "the host is out of memory";
    goes_on = false;
  }
  lock.lock();
  --job.running;
  job.charge(executed);
  if (failure.fault != Fault::none) {
    if (job.outcome.fault == Fault::none) job.outcome = std::move(failure);
    job.stop = true;
  } else if (goes_on) {
    job.suspended.push_back(std::move(block));
    wake_.notify_one();
  } else {
    ++job.finished;
    --job.resident;
    job.spare.push_back(std::move(block));
  }
  job.changed.notify_one();
}

void PoolImpl::work(unsigned slot) {
  std::unique_lock lock(mutex_);
  while (!ending_) {
    Clock::time_point look;
    if (Job* job = pick(look)) {
      serve(*job, lock, slot);
    } else if (look != Clock::time_point::max()) {
      wake_.wait_until(lock, look);
    } else {
      wake_.wait(lock);
    }
  }
}

Outcome PoolImpl::run(const Launch& launch) {
  Job job;
  if (Outcome refused = open_grid(launch, job.grid); refused.fault != Fault::none) return refused;
  job.grid.multiprocessors = static_cast<std::uint32_t>(threads_.size() + 1);
  job.grid.id = next_grid_.fetch_add(1, std::memory_order_relaxed);
  if (launch.brake != nullptr) {
    // About a millisecond's worth, so that launches that share the rate take turns.
    const std::uint64_t worth = launch.brake->rate() / 1000 / job.grid.threads;
    job.slice = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(worth, 16, kSlice));
  }
  std::unique_lock lock(mutex_);
  if (launch.brake != nullptr) launch.brake->begin(Clock::now());
  jobs_.push_back(&job);
  // The caller works too: a single block needs no other thread, so its launch costs no hand-over.
  if (job.grid.blocks > 1) wake_.notify_all();
  while (!job.complete()) {
    if (job.has_work() && !job.held()) {
      serve(job, lock, 0);
    } else if (job.has_work()) {
      job.changed.wait_until(lock, job.next_look());
    } else {
      job.changed.wait(lock, [&] { return job.complete() || job.has_work(); });
    }
  }
  jobs_.remove(&job);
  while (job.outcome.fault == Fault::none && job.held()) job.changed.wait_until(lock, job.next_look());
  if (job.outcome.fault == Fault::none && job.held_until > launch.deadline && Clock::now() >= launch.deadline) {
    job.outcome.fault = Fault::timeout;
    job.outcome.kernel = job.grid.function->name;
    job.outcome.detail = "the launch took longer than its limit";
  }
  if (launch.brake != nullptr) launch.brake->end();
  job.outcome.lane_instructions = job.lane_instructions;
  return std::move(job.outcome);
}

}  // namespace

std::unique_ptr<Pool> make_pool(unsigned threads) {
  if (threads == 0) {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) threads = static_cast<unsigned>(CPU_COUNT(&allowed));
    if (threads == 0) threads = 1;
  }
  return std::make_unique<PoolImpl>(threads - 1);
}

}  // namespace vgpu::softgpu::ptx
