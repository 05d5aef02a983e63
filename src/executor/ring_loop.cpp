#include "executor/ring_loop.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "executor/call_log.hpp"
#include "protocol/end_reason.hpp"

namespace vgpu::executor {

using namespace protocol;
using namespace std::chrono_literals;

namespace {

/// Parked waits are looked at between records, but not between any two: a query may cost more than a record.
constexpr auto kPollEvery = 1us;
/// Records between two looks at the clock and at the daemon's wishes.
constexpr unsigned kBatch = 64;
constexpr auto kReadRestFor = 1s;
constexpr auto kLongestDelay = 200us;
/// A drain shorter than this had nothing to wait for: the GPU was idle before it began.
constexpr auto kNoDrain = 100us;

/// Waits for all work of some contexts on a worker thread.
class DrainJob final : public Job {
 public:
  DrainJob(Session& session, std::vector<u32> contexts) : session_(session), contexts_(std::move(contexts)) {}
  void run(CurrentContext& current) noexcept override {
    for (u32 index : contexts_) {
      if (session_.contexts.find(index) == nullptr || current.set(index) != CUDA_SUCCESS) continue;
      const CUresult result = session_.synchronize(index);
      if (result != CUDA_SUCCESS) session_.note_fault(result, "cuCtxSynchronize");
    }
  }

 private:
  Session& session_;
  std::vector<u32> contexts_;
};

}  // namespace

RingLoop::RingLoop(Session& session, Commands& commands, std::chrono::microseconds spin)
    : session_(session),
      commands_(commands),
      spin_(spin),
      control_(session.region.control()),
      reader_(control_, session.region.ring()),
      current_(session.cuda, session.contexts),
      rate_(session.account.shared()) {}

void RingLoop::run() {
  for (;;) {
    const std::uint32_t seen = session_.signal.look();
    if (session_.ended()) return;
    if (commands_.pending() && !obey(commands_.take())) return;
    if (may_read() && read()) continue;
    if (!session_.parking.empty()) {
      poll_parked();
      pause_.step();
      continue;
    }
    note_empty();
    if (may_read() && (spin() || !announce_sleep())) continue;
    if (leased_) try_to_finish();
    session_.signal.sleep(seen);
    // The guest's doorbell comes by way of the daemon; woken by something else, we need not wait for it.
    if (asleep_ && leased_ && reader_.pending()) wake_up();
  }
}

bool RingLoop::obey(u32 wishes) {
  if ((wishes & Commands::kGone) != 0) {
    session_.end(VGPU_END_DAEMON_STOPPED, "the daemon is gone");
    return false;
  }
  if ((wishes & Commands::kStop) != 0) {
    read_rest();
    return false;
  }
  if ((wishes & Commands::kRun) != 0) {
    if (!leased_) {
      leased_ = true;
      yielding_ = false;
      lease_start_ = Clock::now();
      empty_time_ = {};
      empty_ = false;
      const u64 limit = commands_.lease_microseconds();
      lease_end_ = limit != 0 ? lease_start_ + std::chrono::microseconds(limit) : Clock::time_point::max();
    }
    wake_up();
  }
  if ((wishes & Commands::kYield) != 0 && leased_) yielding_ = true;
  return true;
}

bool RingLoop::may_read() const noexcept { return leased_ && !asleep_ && !yielding_; }

bool RingLoop::read() {
  for (unsigned i = 0; i < kBatch; ++i) {
    switch (reader_.next(record_)) {
      case RingReader::Status::empty:
        return i != 0;
      case RingReader::Status::violation:
        end_by_violation();
        return true;
      case RingReader::Status::record:
        break;
    }
    if (!pay_for_call()) return true;
    note_record();
    dispatch(session_, current_, record_);
    reader_.consume(record_);
    if (session_.ended()) return true;
    if (!session_.parking.empty()) poll_parked();
    if (commands_.pending()) return true;
  }
  if (lease_end_ != Clock::time_point::max() && Clock::now() >= lease_end_) yielding_ = true;
  return true;
}

bool RingLoop::pay_for_call() {
  const auto wait = rate_.pay();
  if (wait == std::chrono::nanoseconds(0)) return true;
  bump(session_.stats.calls_delayed);
  if (!session_.parking.empty()) poll_parked();
  // Not for longer: the daemon's wishes and parked waits are looked at meanwhile.
  std::this_thread::sleep_for(std::min<Clock::duration>(wait, kLongestDelay));
  if (Clock::now() >= lease_end_) yielding_ = true;
  return false;
}

void RingLoop::read_rest() {
  const u64 head = shared(control_->head).load(std::memory_order_acquire);
  const Clock::time_point deadline = Clock::now() + kReadRestFor;
  u64 left = head - shared(control_->tail).load(std::memory_order_relaxed);
  while (left != 0 && left <= VGPU_RING_BYTES && Clock::now() < deadline &&
         reader_.next(record_) == RingReader::Status::record) {
    dispatch(session_, current_, record_);
    reader_.consume(record_);
    if (session_.ended()) return;
    left -= std::min<u64>(left, record_.header.bytes);
  }
}

void RingLoop::end_by_violation() {
  const u64 position = shared(control_->tail).load(std::memory_order_relaxed);
  vgpu_record header;
  std::memcpy(&header, session_.region.ring() + position % VGPU_RING_BYTES / VGPU_RECORD_ALIGN * VGPU_RECORD_ALIGN,
              sizeof header);
  const u16 index = index_of_number(header.call);
  session_.end(reader_.reason(),
               fmt::format("call={} position={:#x} what={}",
                           index == kUnknownCall ? fmt::format("{:#x}", header.call) : std::string(kCalls[index].name),
                           position, reader_.detail()));
}

void RingLoop::poll_parked() {
  const Clock::time_point now = Clock::now();
  if (now - last_poll_ < kPollEvery) return;
  last_poll_ = now;
  session_.parking.poll(current_);
  if (now >= lease_end_) yielding_ = true;
}

bool RingLoop::spin() {
  const Clock::time_point end = Clock::now() + spin_;
  for (unsigned i = 1;; ++i) {
    if (reader_.pending() || commands_.pending() || session_.ended()) return true;
    pause_.step();
    if (i % 16 != 0) continue;
    const Clock::time_point now = Clock::now();
    if (now >= lease_end_) yielding_ = true;
    if (now >= end || yielding_) return false;
  }
}

bool RingLoop::announce_sleep() {
  shared(control_->executor_sleeping).store(1, std::memory_order_relaxed);
  // The guest publishes, fences and looks at executor_sleeping: one of the two sees the other's store.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (reader_.pending() && !yielding_) {
    shared(control_->executor_sleeping).store(0, std::memory_order_relaxed);
    return false;
  }
  asleep_ = true;
  bump(session_.stats.sleeps);
  return true;
}

void RingLoop::wake_up() {
  asleep_ = false;
  shared(control_->executor_sleeping).store(0, std::memory_order_relaxed);
}

void RingLoop::try_to_finish() {
  // Jobs end with a signal, upon which we come here again.
  if (session_.workers.outstanding() != 0) return;
  std::vector<u32> dirty = session_.contexts.take_dirty();
  if (!dirty.empty()) {
    drain_start_ = Clock::now();
    session_.workers.post(std::make_unique<DrainJob>(session_, std::move(dirty)));
    return;
  }
  if (!asleep_) announce_sleep();
  const Clock::time_point now = Clock::now();
  if (empty_ && (drain_start_ < empty_since_ || now - drain_start_ < kNoDrain)) empty_time_ += now - empty_since_;
  ExecutorEvent event;
  event.type = ExecutorEvent::Type::idle;
  const auto busy = std::chrono::duration_cast<std::chrono::nanoseconds>(now - lease_start_ - empty_time_).count();
  event.busy_nanoseconds = busy > 0 ? static_cast<u64>(busy) : 0;
  if (reader_.pending()) set_text(event, "pending");
  leased_ = false;
  yielding_ = false;
  lease_end_ = Clock::time_point::max();
  session_.link.send(event);
}

void RingLoop::note_empty() {
  if (empty_ || !leased_) return;
  empty_ = true;
  empty_since_ = Clock::now();
}

void RingLoop::note_record() {
  if (!empty_) return;
  empty_ = false;
  empty_time_ += Clock::now() - empty_since_;
}

}  // namespace vgpu::executor
