#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

namespace vgpu::daemon {

using SessionId = std::uint32_t;

/// The right to submit, given to one session.
struct Grant {
  SessionId session = 0;
  std::chrono::microseconds quantum{0};  ///< the session gives the lease up by itself after so long; 0: no limit
  bool operator==(const Grant&) const = default;
};

/// Decides which session of a pool holds a lease. No actor, no clock, no thread: what happened comes in, what to do
/// comes out. Sessions that were never opened, or are closed, are ignored: late messages about them are ordinary.
class LeasePolicy {
 public:
  virtual ~LeasePolicy() = default;

  virtual void opened(SessionId session) = 0;
  /// The session's doorbell rang: there may be records in its ring.
  virtual void runnable(SessionId session) = 0;
  /// The session gave its lease back: its ring was empty and the GPU drained, or its quantum was over. `busy`: GPU time
  /// that the lease used.
  virtual void idle(SessionId session, std::chrono::nanoseconds busy) = 0;
  virtual void closed(SessionId session) = 0;

  /// The grants that have become due since the last call, in order. A session that holds a lease is granted it anew
  /// when its doorbell rings: its executor sleeps on an empty ring while the GPU is still busy, and must look again.
  virtual std::vector<Grant> next_grants() = 0;
};

/// First come, first served: at most `leases` sessions hold one at a time, 0 for no limit; a lease lasts until it is
/// given back.
std::unique_ptr<LeasePolicy> make_first_come_first_served(std::uint32_t leases);

}  // namespace vgpu::daemon
