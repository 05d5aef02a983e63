#include <sched.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <list>
#include <mutex>
#include <thread>

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
  Outcome outcome;
  std::condition_variable changed;  ///< the caller of run() waits here

  bool fresh_left() const noexcept { return next < grid.blocks; }
  bool may_start() const noexcept {
    return fresh_left() && (grid.launch->cooperative || resident < kResidentBlocks || suspended.empty());
  }
  bool has_work() const noexcept { return !stop && (fresh_left() || !suspended.empty()); }
  bool complete() const noexcept { return running == 0 && (stop || finished == grid.blocks); }
};

class PoolImpl final : public Pool {
 public:
  explicit PoolImpl(unsigned threads) {
    for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
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
  void work();
  /// Takes one block of the job and runs it for a while. The lock is released meanwhile.
  void serve(Job& job, std::unique_lock<std::mutex>& lock);
  Job* pick();
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

Job* PoolImpl::pick() {
  for (auto it = jobs_.begin(); it != jobs_.end(); ++it) {
    Job* job = *it;
    if (!job->has_work()) continue;
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
  for (;;) {
    if (launch.cancel != nullptr && launch.cancel->load(std::memory_order_relaxed)) {
      block.outcome.fault = Fault::cancelled;
      block.outcome.kernel = job.grid.function->name;
      block.outcome.detail = "the launch was cancelled";
      return false;
    }
    if (block.run(kSlice) != Block::Status::running) return false;
    if (Clock::now() >= end) return true;
  }
}

void PoolImpl::serve(Job& job, std::unique_lock<std::mutex>& lock) {
  bool fresh = false;
  std::uint64_t index = 0;
  std::unique_ptr<Block> block = take(job, fresh, index);
  lock.unlock();
  bool goes_on = false;
  Outcome failure;
  try {
    if (block == nullptr) block = std::make_unique<Block>();
    if (fresh) block->start(job.grid, index);
    goes_on = run_block(job, *block);
    if (block->outcome.fault != Fault::none) failure = std::move(block->outcome);
  } catch (const std::bad_alloc&) {
    failure.fault = Fault::trap;
    failure.kernel = job.grid.function->name;
    failure.detail = "the host is out of memory";
    goes_on = false;
  }
  lock.lock();
  --job.running;
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

void PoolImpl::work() {
  std::unique_lock lock(mutex_);
  while (!ending_) {
    if (Job* job = pick()) {
      serve(*job, lock);
    } else {
      wake_.wait(lock);
    }
  }
}

Outcome PoolImpl::run(const Launch& launch) {
  Job job;
  if (Outcome refused = open_grid(launch, job.grid); refused.fault != Fault::none) return refused;
  job.grid.id = next_grid_.fetch_add(1, std::memory_order_relaxed);
  std::unique_lock lock(mutex_);
  jobs_.push_back(&job);
  // The caller works too: a single block needs no other thread, so its launch costs no hand-over.
  if (job.grid.blocks > 1) wake_.notify_all();
  while (!job.complete()) {
    if (job.has_work()) {
      serve(job, lock);
    } else {
      job.changed.wait(lock, [&] { return job.complete() || job.has_work(); });
    }
  }
  jobs_.remove(&job);
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
