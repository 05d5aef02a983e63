#pragma once
// A pool's executors and their GPU, simulated: the clock moves from event to event, and nothing is left to chance but
// by a seeded generator.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <random>
#include <vector>

#include "actors/lease_policy.hpp"

namespace vgpu::daemon::test {

using Nanoseconds = std::int64_t;
inline constexpr Nanoseconds kMicrosecond = 1'000, kMillisecond = 1'000'000, kSecond = 1'000'000'000;

/// What a session's program does: `work` of GPU time, then `pause` without any; a pause of 0: always something to do.
struct Load {
  Nanoseconds work = kSecond;
  Nanoseconds pause = 0;
  Nanoseconds kernel = 100 * kMicrosecond;  ///< no lease ends within one
};

class LeaseSimulation {
 public:
  explicit LeaseSimulation(std::unique_ptr<LeasePolicy> policy, unsigned seed = 1)
      : policy_(std::move(policy)), random_(seed) {}

  void open(SessionId id, const Tenant& tenant, const Load& load, Nanoseconds at = 0) {
    sessions_[id] = Session{tenant, load};
    sessions_[id].wakes = at;
    policy_->opened(id, tenant);
  }

  void run(Nanoseconds duration) {
    const Nanoseconds end = now_ + duration;
    for (;;) {
      obey(policy_->next_orders());
      const Nanoseconds next = next_event();
      if (next > end) break;
      advance(next);
      happen();
    }
    advance(end);
  }

  Nanoseconds now() const { return now_; }
  Nanoseconds used(SessionId id) const { return sessions_.at(id).used; }
  Nanoseconds used_by_vm(std::uint32_t vm) const {
    Nanoseconds sum = 0;
    for (const auto& [id, session] : sessions_)
      if (session.tenant.vm == vm) sum += session.used;
    return sum;
  }
  /// The longest time from having something to do to a lease.
  Nanoseconds longest_wait(SessionId id) const { return sessions_.at(id).longest_wait; }
  Nanoseconds idle_while_wanted() const { return idle_while_wanted_; }
  std::size_t orders(SessionId id) const { return sessions_.at(id).orders; }
  void forget_usage() {
    for (auto& [id, session] : sessions_) session.used = session.longest_wait = 0;
  }
  LeasePolicy& policy() { return *policy_; }

 private:
  static constexpr Nanoseconds kNever = std::numeric_limits<Nanoseconds>::max();
  struct Session {
    Tenant tenant;
    Load load;
    Nanoseconds left = 0;  ///< of its work
    Nanoseconds wakes = 0;
    Nanoseconds wanted_since = kNever;
    Nanoseconds used = 0;
    Nanoseconds longest_wait = 0;
    std::size_t orders = 0;
  };
  struct Lease {
    SessionId session = 0;
    std::uint64_t number = 0;
    Nanoseconds begin = 0;
    Nanoseconds end = kNever;
  };

  void obey(const std::vector<LeaseOrder>& orders) {
    for (const LeaseOrder& order : orders) {
      Session& session = sessions_.at(order.session);
      ++session.orders;
      if (order.kind == LeaseOrder::Kind::yield) {
        REQUIRE(lease_);
        REQUIRE(lease_->session == order.session);
        count_from(order);
        lease_->end = std::min(lease_->end, now_ + tail(session));
        continue;
      }
      if (!lease_) {
        lease_ = Lease{order.session, order.number, now_, kNever};
        session.longest_wait = std::max(session.longest_wait, now_ - std::min(session.wanted_since, now_));
        session.wanted_since = kNever;
      }
      REQUIRE(lease_->session == order.session);  // one lease at a time
      lease_->number = order.number;
      const Nanoseconds quantum = order.quantum.count() * kMicrosecond;
      if (quantum != 0 && lease_->end == kNever) {
        count_from(order);
        lease_->end = std::max(lease_->begin + quantum, now_) + tail(session);
      }
    }
  }

  /// What a lease without limit has used before it was given one counts for a quantum at most.
  void count_from(const LeaseOrder& order) {
    if (lease_->end == kNever) lease_->begin = std::max(lease_->begin, now_ - order.quantum.count() * kMicrosecond);
  }

  /// What runs on after a lease should have ended.
  Nanoseconds tail(const Session& session) {
    return std::uniform_int_distribution<Nanoseconds>(0, session.load.kernel)(random_);
  }

  Nanoseconds next_event() const {
    Nanoseconds next = kNever;
    for (const auto& [id, session] : sessions_)
      if (session.left == 0) next = std::min(next, session.wakes);
    if (lease_) next = std::min({next, lease_->end, now_ + sessions_.at(lease_->session).left});
    return next;
  }

  void advance(Nanoseconds to) {
    if (lease_) {
      Session& holder = sessions_.at(lease_->session);
      holder.left -= to - now_;
      holder.used += to - now_;
    } else if (std::any_of(sessions_.begin(), sessions_.end(),
                           [](const auto& item) { return item.second.left != 0; })) {
      idle_while_wanted_ += to - now_;
    }
    now_ = to;
  }

  void happen() {
    for (auto& [id, session] : sessions_)
      if (session.left == 0 && session.wakes <= now_ && !(lease_ && lease_->session == id)) {
        session.left = session.load.work;
        session.wanted_since = now_;
        policy_->runnable(id);
      }
    if (!lease_) return;
    Session& holder = sessions_.at(lease_->session);
    if (holder.left != 0 && lease_->end > now_) return;
    if (holder.left == 0) {
      holder.wakes = now_ + holder.load.pause;
      if (holder.load.pause == 0) holder.left = holder.load.work;
    }
    if (holder.left != 0 && lease_->end > now_) return;
    if (holder.left != 0) holder.wanted_since = now_;
    const Lease over = *std::exchange(lease_, std::nullopt);
    policy_->returned({over.session, over.number, std::chrono::nanoseconds(now_ - over.begin), holder.left != 0});
  }

  std::unique_ptr<LeasePolicy> policy_;
  std::mt19937 random_;
  std::map<SessionId, Session> sessions_;
  std::optional<Lease> lease_;
  Nanoseconds now_ = 0;
  Nanoseconds idle_while_wanted_ = 0;
};

}  // namespace vgpu::daemon::test
