#include "executor/parking.hpp"

#include <algorithm>
#include <thread>

#include "executor/call_log.hpp"
#include "executor/session.hpp"
#include "protocol/catalogue.hpp"

namespace vgpu::executor {

using protocol::u32;
using namespace std::chrono_literals;

namespace {

/// How long the reader thread asks before it lets a worker wait: longer than most waits, shorter than what would be
/// felt as a burnt core.
constexpr auto kPollFor = 1ms;
/// What a wait on a worker thread may be late by: a 256th of itself. A nap costs some 5 us of CPU time for waking and
/// asking, so that waits of 5 ms take a quarter of a core, those of 35 ms 4 % and longer ones less than 1 %.
constexpr int kNapPart = 256;
constexpr auto kShortestNap = 20us;
constexpr auto kLongestNap = 1ms;
/// Queries of one poll(): a query costs up to 1.5 us on a real GPU, and the ring waits meanwhile.
constexpr std::size_t kQueriesPerPoll = 4;

/// The driver must not be asked about an event that died with its context.
CUresult make_current(const Session& session, CurrentContext& current, const EventPool::Event& event) noexcept {
  if (session.contexts.serial(event.context) != event.serial) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
  return current.set(event.context);
}

/// Waits on a worker thread.
class WaitJob final : public Job {
 public:
  /// on_workers: one more as long as this lives.
  WaitJob(Session& session, Wait wait, std::atomic<unsigned>& on_workers)
      : session_(session), wait_(std::move(wait)), on_workers_(on_workers) {
    on_workers_.fetch_add(1, std::memory_order_relaxed);
  }
  ~WaitJob() override { on_workers_.fetch_sub(1, std::memory_order_release); }
  void run(CurrentContext& current) noexcept override {
    CUresult result = make_current(session_, current, wait_.event);
    if (result == CUDA_SUCCESS) result = ask_and_sleep();
    answer_wait(session_, wait_, result);
  }

 private:
  /// cuEventSynchronize sleeps only on events made with CU_EVENT_BLOCKING_SYNC, and those cost every wait, however
  /// short, an interrupt: launch + synchronize took 42 us with them instead of 10 us (H100). Sleeps a part of the time
  /// waited so far, so that the answer is at most so much late.
  CUresult ask_and_sleep() noexcept {
    const auto start = std::chrono::steady_clock::now();
    for (;;) {
      const CUresult result = session_.cuda.cuEventQuery(wait_.event.native);
      if (result != CUDA_ERROR_NOT_READY || session_.ended()) return result;
      std::this_thread::sleep_for(nap_after(kPollFor + (std::chrono::steady_clock::now() - start)));
    }
  }

  Session& session_;
  Wait wait_;
  std::atomic<unsigned>& on_workers_;
};

}  // namespace

std::chrono::nanoseconds nap_after(std::chrono::nanoseconds waited) noexcept {
  return std::clamp<std::chrono::nanoseconds>(waited / kNapPart, kShortestNap, kLongestNap);
}

CUresult EventPool::take(u32 context, Event& event) {
  const u32 serial = contexts_.serial(context);
  {
    std::lock_guard lock(mutex_);
    std::vector<Event>& pool = free_[context];
    while (!pool.empty()) {
      event = pool.back();
      pool.pop_back();
      if (event.serial == serial) return CUDA_SUCCESS;
    }
  }
  event = {nullptr, context, serial};
  return cuda_.cuEventCreate(&event.native, CU_EVENT_DISABLE_TIMING);
}

void EventPool::give(const Event& event) {
  if (event.native == nullptr || contexts_.serial(event.context) != event.serial) return;
  std::lock_guard lock(mutex_);
  free_[event.context].push_back(event);
}

void AwaitedEvents::add(CUevent event) {
  std::lock_guard lock(mutex_);
  ++entries_[event].waits;
}

bool AwaitedEvents::remove(CUevent event) {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(event);
  if (found == entries_.end() || --found->second.waits != 0) return false;
  const bool destroyed = found->second.destroyed;
  entries_.erase(found);
  return destroyed;
}

bool AwaitedEvents::destroy_later(CUevent event) {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(event);
  if (found == entries_.end()) return false;
  found->second.destroyed = true;
  return true;
}

void answer_wait(Session& session, Wait& wait, CUresult result) {
  // The event is done: this only makes the driver hand out what kernels printed, and give back what streams freed.
  if (result == CUDA_SUCCESS && (session.kernel_text.wanted() || session.memory.has_pools()))
    session.cuda.cuEventSynchronize(wait.event.native);
  // So is everything else in the context. Pools give back what was freed at its synchronization only.
  if (result == CUDA_SUCCESS && wait.for_context && session.memory.has_pools())
    result = session.synchronize(wait.event.context);
  if (wait.pooled)
    session.parking.events().give(wait.event);
  else if (session.parking.awaited().remove(wait.event.native) &&
           session.contexts.serial(wait.event.context) == wait.event.serial)
    session.cuda.cuEventDestroy_v2(wait.event.native);
  if (result != CUDA_SUCCESS) session.note_fault(result, protocol::kCalls[wait.call].name);
  if (wait.note.watch != 0) tell(session, wait.note, wait.call, result);
  session.kernel_text.look();
  session.completions.complete(wait.answer, result, nullptr, 0);
}

Parking::Parking(Session& session) : session_(session), events_(session.cuda, session.contexts) {}

void Parking::park(Wait wait) { waits_.push_back({std::move(wait), Clock::now()}); }

void Parking::remove(std::size_t index) { waits_.erase(waits_.begin() + static_cast<std::ptrdiff_t>(index)); }

void Parking::poll(CurrentContext& current) {
  if (waits_.empty()) return;
  const Clock::time_point now = Clock::now();
  for (std::size_t i = 0, n = std::min(kQueriesPerPoll, waits_.size()); i < n && !waits_.empty(); ++i) {
    if (cursor_ >= waits_.size()) cursor_ = 0;
    Parked& parked = waits_[cursor_];
    CUresult result = make_current(session_, current, parked.wait.event);
    if (result == CUDA_SUCCESS) result = session_.cuda.cuEventQuery(parked.wait.event.native);
    if (result != CUDA_ERROR_NOT_READY) {
      if (result == CUDA_SUCCESS) session_.unfinished.finished(parked.wait.event.context, parked.wait.unfinished);
      answer_wait(session_, parked.wait, result);
      remove(cursor_);
    } else if (now - parked.since > kPollFor && session_.workers.has_room()) {
      auto job = std::make_unique<WaitJob>(session_, std::move(parked.wait), on_workers_);
      remove(cursor_);
      session_.workers.post(std::move(job));
    } else {
      ++cursor_;
    }
  }
}

}  // namespace vgpu::executor
