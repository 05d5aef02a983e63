#include "actors/pool_scheduler.hpp"

#include <caf/all.hpp>

#include "common/log.hpp"

namespace vgpu::daemon {
namespace {

using Self = pool_scheduler_actor::stateful_pointer<PoolSchedulerState>;

/// Hands the policy's orders on. From one that ends a lease, or will, the clock runs.
void carry_out(Self self) {
  PoolSchedulerState& state = self->state;
  for (const LeaseOrder& order : state.policy->next_orders()) {
    const auto found = state.sessions.find(order.session);
    if (found == state.sessions.end()) continue;
    const bool runs = order.kind == LeaseOrder::Kind::run;
    log::debug(runs ? "lease runs" : "lease is to end", {{"pool", state.pool},
                                                         {"session", order.session},
                                                         {"order", order.number},
                                                         {"quantum_us", order.quantum.count()}});
    self->send(found->second.executor, lease_atom_v, order);
    if (runs && order.quantum.count() == 0) continue;
    self->delayed_send(self,
                       found->second.tenant.longest_overrun + (runs ? order.quantum : std::chrono::microseconds(0)),
                       overdue_atom_v, order.session, order.number);
  }
}

void handle_overdue(Self self, SessionId session, std::uint64_t order) {
  PoolSchedulerState& state = self->state;
  const auto found = state.sessions.find(session);
  if (found == state.sessions.end() || !state.policy->holds_since(session, order)) return;
  log::error("a lease did not end in time", {{"vm", found->second.tenant.vm},
                                             {"pool", state.pool},
                                             {"session", session},
                                             {"milliseconds", found->second.tenant.longest_overrun.count()}});
  self->send(found->second.executor, overrun_atom_v);
}

void handle_change(Self self, const Tenant& tenant) {
  PoolSchedulerState& state = self->state;
  for (auto& [id, session] : state.sessions)
    if (session.tenant.vm == tenant.vm) session.tenant = tenant;
  state.policy->changed(tenant);
}

}  // namespace

pool_scheduler_actor::behavior_type pool_scheduler(Self self, std::string pool,
                                                   std::shared_ptr<std::unique_ptr<LeasePolicy>> policy) {
  self->state.pool = std::move(pool);
  self->state.policy = std::move(*policy);
  return {
      [self](opened_atom, std::uint32_t session, const executor_actor& executor, const Tenant& tenant) {
        self->state.sessions.insert_or_assign(session, PoolSchedulerState::Session{executor, tenant});
        self->state.policy->opened(session, tenant);
        carry_out(self);
      },
      [self](doorbell_atom, std::uint32_t session) {
        self->state.policy->runnable(session);
        carry_out(self);
      },
      [self](idle_atom, const LeaseReturn& what) {
        log::debug("lease ends",
                   {{"pool", self->state.pool}, {"session", what.session}, {"busy_ns", what.busy.count()}});
        self->state.policy->returned(what);
        carry_out(self);
      },
      [self](overdue_atom, std::uint32_t session, std::uint64_t order) { handle_overdue(self, session, order); },
      [self](changed_atom, const Tenant& tenant) {
        handle_change(self, tenant);
        carry_out(self);
      },
      [self](closed_atom, std::uint32_t session) {
        self->state.policy->closed(session);
        self->state.sessions.erase(session);
        carry_out(self);
      },
      [self](stop_atom) { self->quit(); },
  };
}

}  // namespace vgpu::daemon
