#pragma once
#include <chrono>

#include "executor/call_rate.hpp"
#include "executor/commands.hpp"
#include "executor/dispatch.hpp"
#include "executor/drain.hpp"
#include "executor/lease.hpp"
#include "executor/pause.hpp"
#include "executor/queue_delay.hpp"
#include "executor/session.hpp"
#include "protocol/ring.hpp"

namespace vgpu::executor {

/// The reader thread: reads the ring while it holds a lease, sleeps when there is nothing to do, and gives the lease
/// back when the GPU is drained.
class RingLoop {
 public:
  RingLoop(Session& session, Commands& commands, std::chrono::microseconds spin);

  /// Returns when the session has ended or the daemon wants it to stop.
  void run();

 private:
  using Clock = std::chrono::steady_clock;

  /// False: the loop is over.
  bool obey(protocol::u32 wishes);
  bool may_read() const noexcept;
  /// Reads some records. True if there was one, or anything else to look at.
  bool read();
  bool read_batch();
  enum class Reading { empty, record, held_up };
  /// Reads the next record. held_up: the session has ended, or pays for its calls.
  Reading read_one();
  /// What the GPU does may wait for records that an ending lease does not read: a kernel that polls memory, which the
  /// guest writes after its next call has come back. Nobody can know; so where a drain takes long, records are read, up
  /// to one submission each time. True if something was read.
  bool read_overdue();
  /// False: not now, the VM has read as many as it may for a while.
  bool pay_for_call();
  void read_rest();
  void end_by_violation();
  void poll_parked(Clock::time_point now);
  void poll_parked_now_and_then();
  /// Polls the empty ring for a while. True if something came.
  bool spin();
  /// Makes the guest ring from now on. False: a record has come meanwhile.
  bool announce_sleep();
  void wake_up();
  /// Until the signal is raised after `seen`. `waits`: what workers have.
  void sleep(std::uint32_t seen, unsigned waits);
  /// Drains the GPU, and gives the lease back when that is done.
  void try_to_finish();
  /// At the end of a quantum: a guest that waited for what was drained goes on within microseconds, and would lose its
  /// turn to others if it were taken for one that wants nothing more.
  void wait_for_more() const;
  /// True if the lease should end, and what it waits for may last without the GPU being at work.
  bool is_held_up() const;
  bool may_last() const noexcept;
  /// True if the GPU has as much to do as the lease allows.
  bool is_throttled();
  /// In microseconds; -1: until somebody wakes us.
  std::int64_t longest_sleep() const noexcept;
  void note_empty();
  void note_record();
  /// Waits and calls of the guest's threads that workers have.
  unsigned on_workers() const noexcept;
  /// Lets the daemon see the GPU time that this lease and those before it used.
  void publish_use(Lease::Duration of_lease) noexcept;

  Session& session_;
  Commands& commands_;
  const std::chrono::microseconds spin_;
  vgpu_control* control_;
  protocol::RingReader reader_;
  protocol::RingReader::Record record_;
  CurrentContext current_;
  Pause pause_;

  Lease lease_;
  Lease::Duration used_before_{};  ///< by leases that are over
  Drain drain_;
  CallRate rate_;
  QueueDelay queue_delay_;
  bool asleep_ = false;  ///< the guest was told to ring
  int spins_ = 1;        ///< how many times spin_ the empty ring is polled next
  Clock::time_point last_poll_;
  Clock::time_point drain_start_;
};

}  // namespace vgpu::executor
