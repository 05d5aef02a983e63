#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <utility>

#include "actors/fair_queue.hpp"
#include "actors/lease_policy.hpp"

namespace vgpu::daemon {
namespace {

using std::chrono::microseconds;
using std::chrono::nanoseconds;

/// What a lease costs at least: the GPU changes hands, which nobody measures. Who rings without giving work pays it.
constexpr nanoseconds kLeastCharge = microseconds(20);
/// How much a priority can have been denied, in quanta: what it gets in one piece when its turn comes.
constexpr int kMostOwed = 4;

constexpr std::size_t index_of(Priority priority) noexcept { return static_cast<std::size_t>(priority); }

class FairShare final : public LeasePolicy {
 public:
  explicit FairShare(const FairShareTerms& terms) : terms_(terms) {}

  void opened(SessionId id, const Tenant& tenant) override {
    if (!sessions_.try_emplace(id, Session{tenant.vm, State::idle}).second) return;
    const auto [vm, is_new] = vms_.try_emplace(tenant.vm);
    if (is_new) vm->second.tenant = tenant;
    ++vm->second.open;
    news_ = true;
  }

  void runnable(SessionId id) override {
    const auto found = sessions_.find(id);
    if (found == sessions_.end()) return;
    Session& session = found->second;
    if (session.state == State::idle) {
      wait(id, session);
    } else if (Holder* const holder = holder_of(id)) {
      holder->rung = true;
    }
    news_ = true;
  }

  void returned(const LeaseReturn& what) override {
    Holder* const holder = holder_of(what.session);
    if (holder == nullptr) return;
    charge(*holder, what.busy);
    if (what.number < holder->last_run) {
      // The executor has a lease again, by an order that it got after this.
      holder->since = holder->last_run;
      return;
    }
    const bool again = what.pending || holder->rung;
    forget_holder(what.session);
    Session& session = sessions_.at(what.session);
    session.state = State::idle;
    if (again) wait(what.session, session);
    news_ = true;
  }

  void closed(SessionId id) override {
    const auto found = sessions_.find(id);
    if (found == sessions_.end()) return;
    forget_holder(id);
    unwait(id, found->second);
    const auto vm = vms_.find(found->second.vm);
    vm->second.sessions.erase(id);
    if (--vm->second.open == 0) {
      class_of(vm->second).vms.erase(vm->first);
      vms_.erase(vm);
    }
    sessions_.erase(found);
    news_ = true;
  }

  void changed(const Tenant& tenant) override {
    const auto vm = vms_.find(tenant.vm);
    if (vm == vms_.end()) return;
    if (vm->second.tenant.priority != tenant.priority) {
      class_of(vm->second).vms.erase(vm->first);
      vm->second.tenant = tenant;
      if (!vm->second.sessions.empty()) class_of(vm->second).vms.enter(vm->first);
    }
    vm->second.tenant = tenant;
    news_ = true;
  }

  void overran(SessionId id, std::uint64_t number) override {
    if (!holder_ || holder_->session != id || holder_->since > number) return;
    overrunning_.emplace(id, *std::exchange(holder_, std::nullopt));
    news_ = true;
  }

  void set_terms(const FairShareTerms& terms) override { terms_ = terms; }

  std::vector<LeaseOrder> next_orders() override {
    std::vector<LeaseOrder> orders;
    if (!std::exchange(news_, false)) return orders;
    if (!holder_) grant();
    if (holder_) instruct(orders);
    return orders;
  }

  bool holds_since(SessionId session, std::uint64_t number) const override {
    const Holder* const holder = holder_of(session);
    return holder != nullptr && holder->since <= number;
  }

 private:
  enum class State { idle, waiting, leased };
  struct Session {
    std::uint32_t vm = 0;
    State state = State::idle;
  };
  struct Vm {
    Tenant tenant;
    std::uint32_t open = 0;
    FairQueue<SessionId> sessions;
  };
  /// The VMs of one priority.
  struct Class {
    FairQueue<std::uint32_t> vms;
    nanoseconds owed{0};  ///< of its floor, while higher priorities competed with it
  };
  struct Holder {
    SessionId session = 0;
    std::uint32_t vm = 0;
    std::uint64_t since = 0;     ///< number of the order that began the lease; 0: not told yet
    std::uint64_t last_run = 0;  ///< number of the last `run`
    microseconds quantum{0};     ///< as told
    microseconds backlog{0};     ///< as told
    bool rung = false;           ///< its doorbell rang, and it is to look again
    bool yields = false;         ///< it was told to
    bool of_floor = false;       ///< higher priorities waited already when the lease began
  };

  /// The session's lease, be it overdue or not; null if it has none.
  const Holder* holder_of(SessionId session) const {
    if (holder_ && holder_->session == session) return &*holder_;
    const auto found = overrunning_.find(session);
    return found != overrunning_.end() ? &found->second : nullptr;
  }
  Holder* holder_of(SessionId session) {
    return const_cast<Holder*>(static_cast<const FairShare*>(this)->holder_of(session));
  }
  void forget_holder(SessionId session) {
    if (holder_ && holder_->session == session) holder_.reset();
    overrunning_.erase(session);
  }

  /// True if such another has a lease now: one of the two overruns.
  template <typename Which>
  bool beside(const Holder& one, Which which) const {
    const auto is = [&](const Holder& other) { return other.session != one.session && which(other); };
    return (holder_ && is(*holder_)) ||
           std::any_of(overrunning_.begin(), overrunning_.end(), [&](const auto& item) { return is(item.second); });
  }

  Class& class_of(const Vm& vm) { return classes_[index_of(vm.tenant.priority)]; }

  void wait(SessionId id, Session& session) {
    session.state = State::waiting;
    Vm& vm = vms_.at(session.vm);
    vm.sessions.enter(id);
    class_of(vm).vms.enter(session.vm);
  }

  /// It wants no lease now, or has one.
  void unwait(SessionId id, const Session& session) {
    Vm& vm = vms_.at(session.vm);
    vm.sessions.leave(id);
    if (vm.sessions.empty()) class_of(vm).vms.leave(session.vm);
  }

  void charge(const Holder& holder, nanoseconds busy) {
    busy = std::max(busy, kLeastCharge);
    Vm& vm = vms_.at(holder.vm);
    vm.sessions.charge(holder.session, busy, 1,
                       beside(holder, [&](const Holder& other) { return other.vm == holder.vm; }));
    class_of(vm).vms.charge(holder.vm, busy, vm.tenant.weight, beside(holder, [&](const Holder& other) {
                              return other.vm != holder.vm && vms_.at(other.vm).tenant.priority == vm.tenant.priority;
                            }));
    const std::size_t used = index_of(vm.tenant.priority);
    const nanoseconds most = terms_.quantum * kMostOwed;
    const auto part = [&](double of) {
      return nanoseconds(static_cast<nanoseconds::rep>(static_cast<double>(busy.count()) * of));
    };
    classes_[used].owed = std::max(classes_[used].owed - part(1 - terms_.floor), nanoseconds(0));
    for (std::size_t i = 0; i < used; ++i)
      if (!classes_[i].vms.empty()) classes_[i].owed = std::min(classes_[i].owed + part(terms_.floor), most);
  }

  /// The class to be served next: the highest that waits, unless a lower one is owed a quantum.
  Class* next_class() {
    for (Class& low : classes_)
      if (!low.vms.empty() && low.owed >= terms_.quantum) return &low;
    for (std::size_t i = kPriorities; i-- > 0;)
      if (!classes_[i].vms.empty()) return &classes_[i];
    return nullptr;
  }

  void grant() {
    Class* const chosen = next_class();
    if (chosen == nullptr) return;
    const std::uint32_t vm = *chosen->vms.first();
    const SessionId id = *vms_.at(vm).sessions.first();
    chosen->vms.serve(vm);
    vms_.at(vm).sessions.serve(id);
    Session& session = sessions_.at(id);
    session.state = State::leased;
    unwait(id, session);
    holder_ = Holder{};
    holder_->session = id;
    holder_->vm = vm;
  }

  bool anybody_waits() const {
    return std::any_of(classes_.begin(), classes_.end(), [](const Class& one) { return !one.vms.empty(); });
  }
  bool higher_waits() {
    const std::size_t own = index_of(vms_.at(holder_->vm).tenant.priority);
    for (std::size_t i = own + 1; i < kPriorities; ++i)
      if (!classes_[i].vms.empty()) return true;
    return false;
  }

  /// Tells the holder what it does not know yet.
  void instruct(std::vector<LeaseOrder>& orders) {
    Holder& holder = *holder_;
    const bool begins = holder.since == 0;
    if (holder.yields) return;
    if (begins) holder.of_floor = higher_waits();
    if (!holder.of_floor && higher_waits()) {
      holder.yields = true;
      orders.push_back({LeaseOrder::Kind::yield, holder.session, holder.last_run, terms_.quantum, {}});
      return;
    }
    const microseconds quantum = holder.quantum.count() != 0 ? holder.quantum
                                 : anybody_waits()           ? terms_.quantum
                                                             : microseconds(0);
    const microseconds backlog = sessions_.size() > 1 ? terms_.backlog : microseconds(0);
    if (!begins && !std::exchange(holder.rung, false) && quantum == holder.quantum && backlog == holder.backlog) return;
    holder.quantum = quantum;
    holder.backlog = backlog;
    holder.last_run = ++orders_;
    if (begins) holder.since = orders_;
    orders.push_back({LeaseOrder::Kind::run, holder.session, orders_, quantum, backlog});
  }

  FairShareTerms terms_;
  std::uint64_t orders_ = 0;
  std::map<SessionId, Session> sessions_;
  std::map<std::uint32_t, Vm> vms_;
  std::array<Class, kPriorities> classes_;
  std::optional<Holder> holder_;
  std::map<SessionId, Holder> overrunning_;  ///< their leases should be over; the GPU's time slices share it
  bool news_ = false;
};

}  // namespace

std::unique_ptr<LeasePolicy> make_fair_share(const FairShareTerms& terms) { return std::make_unique<FairShare>(terms); }

}  // namespace vgpu::daemon
