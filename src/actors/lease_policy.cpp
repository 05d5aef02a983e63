#include "actors/lease_policy.hpp"

#include <deque>
#include <map>
#include <utility>

namespace vgpu::daemon {
namespace {

class FirstComeFirstServed final : public LeasePolicy {
 public:
  explicit FirstComeFirstServed(std::uint32_t leases) : leases_(leases) {}

  void opened(SessionId session) override { sessions_.try_emplace(session); }

  void runnable(SessionId session) override {
    const auto found = sessions_.find(session);
    if (found == sessions_.end()) return;
    switch (found->second.state) {
      case State::idle:
        found->second.state = State::waiting;
        waiting_.push_back(session);
        break;
      case State::waiting:
        break;
      case State::leased:
        found->second.rang_again = true;
        due_.push_back({session, {}});
        break;
    }
  }

  void idle(SessionId session, std::chrono::nanoseconds) override {
    const auto found = sessions_.find(session);
    if (found == sessions_.end() || found->second.state != State::leased) return;
    // The doorbell rang after the lease began: this may have been sent before the executor heard of it, and then it
    // reads on. Asking once more makes sure that a lease which counts as returned is not in use.
    if (std::exchange(found->second.rang_again, false) && leases_ != 0) {
      due_.push_back({session, {}});
      return;
    }
    found->second.state = State::idle;
    --held_;
  }

  void closed(SessionId session) override {
    const auto found = sessions_.find(session);
    if (found == sessions_.end()) return;
    if (found->second.state == State::leased) --held_;
    sessions_.erase(found);
    std::erase(waiting_, session);
    std::erase_if(due_, [&](const Grant& grant) { return grant.session == session; });
  }

  std::vector<Grant> next_grants() override {
    while (!waiting_.empty() && (leases_ == 0 || held_ < leases_)) {
      const SessionId session = waiting_.front();
      waiting_.pop_front();
      sessions_.at(session) = {State::leased, false};
      ++held_;
      due_.push_back({session, {}});
    }
    return std::exchange(due_, {});
  }

 private:
  enum class State { idle, waiting, leased };
  struct Session {
    State state = State::idle;
    bool rang_again = false;
  };

  const std::uint32_t leases_;
  std::uint32_t held_ = 0;
  std::map<SessionId, Session> sessions_;
  std::deque<SessionId> waiting_;
  std::vector<Grant> due_;
};

}  // namespace

std::unique_ptr<LeasePolicy> make_first_come_first_served(std::uint32_t leases) {
  return std::make_unique<FirstComeFirstServed>(leases);
}

}  // namespace vgpu::daemon
