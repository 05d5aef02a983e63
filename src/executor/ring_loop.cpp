#include "executor/ring_loop.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <thread>
#include <utility>

#include "executor/call_log.hpp"
#include "executor/driver_poll.hpp"
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
/// A call that blocks is waited for so long as if records came: an allocation takes some 50 us, and its caller's next
/// call follows within one. To sleep would cost the lease, and a doorbell to get it back.
constexpr auto kShortCall = 500us;
/// After a wait or a call that was answered by a worker, the empty ring is polled so many times as long as usually: the
/// caller may have to wake up, and goes on then.
constexpr int kLinger = 4;
u64 nanoseconds(std::chrono::steady_clock::duration time) {
  return static_cast<u64>(std::chrono::nanoseconds(time).count());
}

/// A lease that should end is given back after this even if streams wait for what the guest does, which may take as
/// long as it likes and may need records read that are still in the ring; or if a call is under way in the driver,
/// which may compile a module for minutes while the GPU is idle. What runs on behind it is bounded by the backlog.
constexpr auto kGrace = 2ms;
/// How often the daemon sees what a lease has used while a call waits.
constexpr auto kShowUseEvery = 500ms;
/// How often an overdue lease's ring is looked at.
constexpr auto kOverdueEvery = 10ms;

}  // namespace

RingLoop::RingLoop(Session& session, Commands& commands, std::chrono::microseconds spin)
    : session_(session),
      commands_(commands),
      spin_(spin),
      control_(session.region.control()),
      reader_(control_, session.region.ring()),
      current_(session.cuda, session.contexts),
      drain_(session),
      rate_(session.account.shared()),
      queue_delay_(session.stats) {}

void RingLoop::run() {
  for (;;) {
    const std::uint32_t seen = session_.signal.look();
    if (session_.ended()) return;
    if (commands_.pending() && !obey(commands_.take())) return;
    const bool throttled = may_read() && is_throttled();
    if (may_read() && !throttled && read()) continue;
    if (read_overdue()) continue;
    if (throttled || !session_.parking.empty()) {
      poll_parked(Clock::now());
      pause_.step();
      continue;
    }
    note_empty();
    if (may_read() && (spin() || !announce_sleep())) continue;
    if (lease_.held()) try_to_finish();
    const unsigned waits = on_workers();
    sleep(seen, waits);
    const Clock::time_point woken = Clock::now();
    lease_.check(woken);
    if (lease_.held()) publish_use(lease_.busy(woken));
    if (!asleep_ || !lease_.held()) continue;
    // A guest that has got what it waited for is about to ask for more.
    const bool answered = on_workers() < waits;
    // The guest's doorbell comes by way of the daemon; woken by something else, we need not wait for it.
    if (answered || reader_.pending()) wake_up();
    if (answered && !lease_.limited()) spins_ = kLinger;
  }
}

void RingLoop::sleep(std::uint32_t seen, unsigned waits) {
  // A lease that was given up may leave work on the GPU, which the driver has to hear of.
  const bool idle = !lease_.held() && waits == 0 && !session_.waits_for_guest();
  if (idle) let_driver_sleep(true);
  session_.signal.sleep(seen, longest_sleep());
  if (idle) let_driver_sleep(false);
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
  const Commands::Lease told = commands_.lease();
  const Clock::time_point now = Clock::now();
  if ((wishes & Commands::kRun) != 0) {
    lease_.run(told.order, told.quantum, now);
    session_.backlog.bound(told.backlog, session_.account.shared().in_flight.load(std::memory_order_relaxed));
    wake_up();
  }
  if ((wishes & Commands::kYield) != 0) lease_.yield(told.yielded_order, told.yield_quantum, now);
  lease_.check(now);
  return true;
}

bool RingLoop::may_read() const noexcept { return lease_.held() && !asleep_ && !lease_.ending(); }

bool RingLoop::is_throttled() { return session_.backlog.on() && session_.backlog.full(current_, Clock::now()); }

bool RingLoop::read() {
  if (queue_delay_.due()) queue_delay_.found(reader_.published(), reader_.consumed(), Clock::now());
  const bool found = read_batch();
  if (queue_delay_.over(reader_.consumed())) queue_delay_.ran(Clock::now());
  return found;
}

bool RingLoop::read_batch() {
  for (unsigned i = 0; i < kBatch; ++i) {
    switch (read_one()) {
      case Reading::empty:
        return i != 0;
      case Reading::held_up:
        return true;
      case Reading::record:
        break;
    }
    if (!session_.parking.empty()) poll_parked_now_and_then();
    if (commands_.pending() || is_throttled()) return true;
  }
  const Clock::time_point now = Clock::now();
  lease_.check(now);
  publish_use(lease_.busy(now));
  return true;
}

RingLoop::Reading RingLoop::read_one() {
  switch (reader_.next(record_)) {
    case RingReader::Status::empty:
      return Reading::empty;
    case RingReader::Status::violation:
      end_by_violation();
      return Reading::held_up;
    case RingReader::Status::record:
      break;
  }
  if (!pay_for_call()) return Reading::held_up;
  note_record();
  dispatch(session_, current_, record_);
  reader_.consume(record_);
  return session_.ended() ? Reading::held_up : Reading::record;
}

bool RingLoop::read_overdue() {
  if (!lease_.held() || !lease_.overdue(Clock::now())) return false;
  const u64 before = session_.backlog.submissions();
  for (unsigned i = 0; i < kBatch; ++i) {
    if (read_one() != Reading::record) return i != 0;
    if (session_.backlog.submissions() == before) continue;
    lease_.be_more_patient();
    return true;
  }
  return true;
}

bool RingLoop::pay_for_call() {
  const auto wait = rate_.pay();
  if (wait == std::chrono::nanoseconds(0)) return true;
  bump(session_.stats.calls_delayed);
  if (!session_.parking.empty()) poll_parked_now_and_then();
  // Not for longer: the daemon's wishes and parked waits are looked at meanwhile.
  std::this_thread::sleep_for(std::min<Clock::duration>(wait, kLongestDelay));
  lease_.check(Clock::now());
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

void RingLoop::poll_parked_now_and_then() {
  if (const Clock::time_point now = Clock::now(); now - last_poll_ >= kPollEvery) poll_parked(now);
}

void RingLoop::poll_parked(Clock::time_point now) {
  last_poll_ = now;
  session_.parking.poll(current_);
  lease_.check(now);
  publish_use(lease_.busy(now));
}

bool RingLoop::spin() {
  const Clock::time_point begin = Clock::now();
  Clock::time_point end = begin + spin_ * std::exchange(spins_, 1);
  for (unsigned i = 1;; ++i) {
    if (reader_.pending() || commands_.pending() || session_.ended()) return true;
    pause_.step();
    if (i % 16 != 0) continue;
    const Clock::time_point now = Clock::now();
    lease_.check(now);
    if (now - begin < kShortCall && session_.blocking_calls.load(std::memory_order_acquire) != 0) end = now + spin_;
    if (now >= end || lease_.ending()) return false;
  }
}

bool RingLoop::announce_sleep() {
  shared(control_->executor_sleeping).store(1, std::memory_order_relaxed);
  // The guest publishes, fences and looks at executor_sleeping: one of the two sees the other's store.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (reader_.pending() && !lease_.ending()) {
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

std::int64_t RingLoop::longest_sleep() const noexcept {
  if (!lease_.held()) return -1;
  if (!lease_.limited()) return on_workers() != 0 ? std::chrono::microseconds(kShowUseEvery).count() : -1;
  // Nobody wakes us when the grace is over, or the drain overdue.
  if (may_last()) return std::chrono::microseconds(kGrace).count();
  return lease_.ending() ? std::chrono::microseconds(kOverdueEvery).count() : -1;
}

bool RingLoop::is_held_up() const {
  return lease_.ending() && may_last() && Clock::now() - lease_.ending_since() >= kGrace;
}

bool RingLoop::may_last() const noexcept {
  return session_.waits_for_guest() || session_.blocking_calls.load(std::memory_order_acquire) != 0;
}

void RingLoop::try_to_finish() {
  // A drain takes a core for as long as the GPU works. Nobody else wants the GPU, and the wait's end comes by a signal.
  if (!lease_.limited() && session_.parking.on_workers() != 0) return;
  if (!is_held_up()) {
    // Calls and drains end with a signal, upon which we come here again.
    if (session_.blocking_calls.load(std::memory_order_acquire) != 0 || drain_.under_way()) return;
    if (std::vector<u32> dirty = session_.contexts.take_dirty(); !dirty.empty()) {
      drain_start_ = Clock::now();
      drain_.begin(std::move(dirty));
      return;
    }
    session_.backlog.clear();
    wait_for_more();
  }
  if (!asleep_) announce_sleep();
  const Clock::time_point now = Clock::now();
  if (lease_.empty() && (drain_start_ < lease_.empty_since() || now - drain_start_ < kNoDrain))
    lease_.note_idle_until(now);
  const Lease::Use use = lease_.end(now);
  used_before_ += use.busy;
  publish_use({});
  queue_delay_.found(reader_.published(), reader_.consumed(), now);
  ExecutorEvent event;
  event.type = ExecutorEvent::Type::idle;
  event.order = lease_.order();
  event.pending = reader_.pending() ? 1 : 0;
  event.busy_nanoseconds = nanoseconds(use.busy);
  event.counted_nanoseconds = nanoseconds(use.counted);
  session_.link.send(event);
}

void RingLoop::wait_for_more() const {
  if (!lease_.ending() || lease_.yielded()) return;
  const Clock::time_point end = Clock::now() + spin_;
  while (!reader_.pending() && !commands_.pending() && Clock::now() < end) std::this_thread::yield();
}

void RingLoop::publish_use(Lease::Duration of_lease) noexcept {
  session_.stats.gpu_nanoseconds.store(nanoseconds(used_before_ + of_lease), std::memory_order_relaxed);
}

void RingLoop::note_empty() {
  if (!lease_.held() || lease_.empty() || on_workers() != 0) return;
  lease_.note_empty(Clock::now());
  publish_use(lease_.busy(lease_.empty_since()));
}

void RingLoop::note_record() {
  if (lease_.empty()) lease_.note_work();
}

unsigned RingLoop::on_workers() const noexcept {
  return session_.parking.on_workers() + session_.blocking_calls.load(std::memory_order_acquire);
}

}  // namespace vgpu::executor
