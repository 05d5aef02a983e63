#include <map>
#include <utility>

#include "actors/lease_policy.hpp"

namespace vgpu::daemon {
namespace {

class Concurrent final : public LeasePolicy {
 public:
  void opened(SessionId session, const Tenant&) override { sessions_.try_emplace(session); }

  void runnable(SessionId session) override {
    const auto found = sessions_.find(session);
    if (found == sessions_.end()) return;
    found->second.last_run = ++orders_;
    if (found->second.since == 0) found->second.since = orders_;
    due_.push_back({LeaseOrder::Kind::run, session, orders_, {}, {}});
  }

  void returned(const LeaseReturn& what) override {
    const auto found = sessions_.find(what.session);
    if (found == sessions_.end() || found->second.since == 0) return;
    found->second.since = what.number < found->second.last_run ? found->second.last_run : 0;
    if (found->second.since == 0 && what.pending) runnable(what.session);
  }

  void closed(SessionId session) override {
    sessions_.erase(session);
    std::erase_if(due_, [&](const LeaseOrder& order) { return order.session == session; });
  }

  void overran(SessionId, std::uint64_t) override {}
  void changed(const Tenant&) override {}
  void set_terms(const FairShareTerms&) override {}

  std::vector<LeaseOrder> next_orders() override { return std::exchange(due_, {}); }

  bool holds_since(SessionId session, std::uint64_t number) const override {
    const auto found = sessions_.find(session);
    return found != sessions_.end() && found->second.since != 0 && found->second.since <= number;
  }

 private:
  struct Session {
    std::uint64_t since = 0;     ///< number of the order that began its lease; 0: it has none
    std::uint64_t last_run = 0;  ///< number of its last order
  };
  std::uint64_t orders_ = 0;
  std::map<SessionId, Session> sessions_;
  std::vector<LeaseOrder> due_;
};

}  // namespace

std::unique_ptr<LeasePolicy> make_concurrent() { return std::make_unique<Concurrent>(); }

}  // namespace vgpu::daemon
