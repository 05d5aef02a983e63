#pragma once
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

namespace vgpu::daemon {

using SessionId = std::uint32_t;

/// Served in this order; a pool's floor keeps something for those below.
enum class Priority : std::uint8_t { low, medium, high };
inline constexpr std::size_t kPriorities = 3;

/// Whose session it is, and what its VM was given.
struct Tenant {
  std::uint32_t vm = 0;
  std::uint32_t weight = 100;  ///< 1 to 1000; shares within a priority are in proportion to it
  Priority priority = Priority::medium;
  std::chrono::milliseconds longest_overrun{10'000};  ///< of a lease's end; a session that takes longer is ended
  bool operator==(const Tenant&) const = default;
};

/// What an executor is to be told. A lease counts from its beginning. One without limit, which is given one or taken
/// back, counts from a quantum before that order if it is older: what was used while nobody else wanted it is nobody's
/// loss.
struct LeaseOrder {
  enum class Kind {
    run,    ///< you hold a lease, on these terms; if you held it already: look at your ring, these are its terms now
    yield,  ///< drain the GPU and give the lease back
  };
  Kind kind = Kind::run;
  SessionId session = 0;
  std::uint64_t number = 0;              ///< of the order, ascending; yield: of the last `run` that it ends
  std::chrono::microseconds quantum{0};  ///< run: give the lease back when it counts so much; 0: no limit
  std::chrono::microseconds backlog{0};  ///< run: how much unfinished work the GPU may have; 0: any amount
  bool operator==(const LeaseOrder&) const = default;
};

/// How a session gave its lease back.
struct LeaseReturn {
  SessionId session = 0;
  std::uint64_t number = 0;          ///< of the last `run` that the executor had obeyed
  std::chrono::nanoseconds busy{0};  ///< GPU time that the lease used, as far as it counts: see LeaseOrder
  bool pending = false;              ///< there were records in its ring
};

/// Of a pool whose policy is fair share.
struct FairShareTerms {
  std::chrono::microseconds quantum{10'000};  ///< each change of hands costs 0.2 to 0.4 ms (docs/multitenancy.md)
  std::chrono::microseconds backlog{1'000};
  double floor = 0.05;  ///< 0 to 0.3: part of the GPU's time that a priority gets while higher ones compete with it
  bool operator==(const FairShareTerms&) const = default;
};

/// Decides which session of a pool holds a lease. No actor, no clock, no thread: what happened comes in, what to do
/// comes out. Sessions that were never opened, or are closed, and leases that are over are ignored: late messages about
/// them are ordinary.
///
/// Orders and returns cross on their way. An executor that is told `run` holds a lease from then on, whatever it held
/// before; so a return that does not know of the last `run` changes nothing but the account: the lease goes on.
class LeasePolicy {
 public:
  virtual ~LeasePolicy() = default;

  virtual void opened(SessionId session, const Tenant& tenant) = 0;
  /// The session's doorbell rang: there may be records in its ring.
  virtual void runnable(SessionId session) = 0;
  /// The session gave its lease back, the GPU drained.
  virtual void returned(const LeaseReturn& what) = 0;
  virtual void closed(SessionId session) = 0;
  /// The lease that the session has held since order `number`, or before, should long be over. Others go on beside it;
  /// it is charged for all of its time when it is returned.
  virtual void overran(SessionId session, std::uint64_t number) = 0;
  /// What all sessions of this VM were given has changed.
  virtual void changed(const Tenant& tenant) = 0;
  /// The pool's terms have changed; they count from the next lease on.
  virtual void set_terms(const FairShareTerms& terms) = 0;

  /// The orders that have become due since the last call.
  virtual std::vector<LeaseOrder> next_orders() = 0;
  /// True if the session has not given back the lease that it held when order `number` was made.
  virtual bool holds_since(SessionId session, std::uint64_t number) const = 0;
  bool holds(SessionId session) const { return holds_since(session, std::numeric_limits<std::uint64_t>::max()); }
};

/// Everybody who wants a lease has one, without limit: the GPU's own time slices share it.
std::unique_ptr<LeasePolicy> make_concurrent();

/// One lease at a time, but for those that overrun. Priorities first, but for the floor; within a priority start-time
/// fair queueing of VMs by the GPU time that they used, in proportion to their weights, and of a VM's sessions alike. A
/// session alone in its pool has a lease without limit.
std::unique_ptr<LeasePolicy> make_fair_share(const FairShareTerms& terms);

}  // namespace vgpu::daemon
