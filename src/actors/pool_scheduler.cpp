#include "actors/pool_scheduler.hpp"

#include <caf/all.hpp>

#include "common/log.hpp"

namespace vgpu::daemon {
namespace {

using Self = pool_scheduler_actor::stateful_pointer<PoolSchedulerState>;

/// A lease that should be over is waited for so long; then others go on beside what does not end.
constexpr std::chrono::milliseconds kOverlapAfter{50};

/// Says in the session's record what it has, for /metrics.
void note_lease(const PoolSchedulerState& state, SessionId id) {
  const auto found = state.sessions.find(id);
  if (found == state.sessions.end()) return;
  const LeaseState has = state.policy->holds(id)     ? LeaseState::held
                         : found->second.wants_since ? LeaseState::waiting
                                                     : LeaseState::none;
  found->second.record->lease.store(has, std::memory_order_relaxed);
}

/// The session has work: unless it holds a lease, it waits from now on.
void note_wish(Self self, SessionId id) {
  PoolSchedulerState& state = self->state;
  const auto found = state.sessions.find(id);
  if (found == state.sessions.end() || found->second.wants_since || state.policy->holds(id)) return;
  found->second.wants_since = self->clock().now();
  note_lease(state, id);
}

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
    if (const auto since = std::exchange(found->second.wants_since, std::nullopt); runs && since)
      found->second.record->waits.note(self->clock().now() - *since);
    note_lease(state, order.session);
    self->send(found->second.executor, lease_atom_v, order);
    if (runs && order.quantum.count() == 0) continue;
    const auto end = runs ? order.quantum : std::chrono::microseconds(0);
    self->delayed_send(self, end + kOverlapAfter, overlap_atom_v, order.session, order.number);
    self->delayed_send(self, end + found->second.tenant.longest_overrun, overdue_atom_v, order.session, order.number);
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

void handle_change(Self self, const Config& config) {
  PoolSchedulerState& state = self->state;
  if (const PoolConfig* pool = config.pool(state.pool)) state.policy->set_terms(pool->fair);
  for (auto& [id, session] : state.sessions) {
    const Tenant tenant = config.tenant(session.tenant.vm);
    if (tenant == session.tenant) continue;
    session.tenant = tenant;
    state.policy->changed(tenant);
  }
}

SessionRecords those(const PoolSchedulerState& state, const SessionFilter& filter) {
  SessionRecords records;
  for (const auto& [id, session] : state.sessions)
    if (filter.takes(*session.record)) records.push_back(session.record);
  return records;
}

}  // namespace

pool_scheduler_actor::behavior_type pool_scheduler(Self self, std::string pool,
                                                   std::shared_ptr<std::unique_ptr<LeasePolicy>> policy) {
  self->state.pool = std::move(pool);
  self->state.policy = std::move(*policy);
  return {
      [self](opened_atom, const SessionRecordPtr& record, const executor_actor& executor, const Tenant& tenant) {
        self->state.sessions.insert_or_assign(record->session,
                                              PoolSchedulerState::Session{record, executor, tenant, std::nullopt});
        self->state.policy->opened(record->session, tenant);
        carry_out(self);
      },
      [self](doorbell_atom, std::uint32_t session) {
        note_wish(self, session);
        self->state.policy->runnable(session);
        carry_out(self);
      },
      [self](idle_atom, const LeaseReturn& what) {
        log::debug("lease ends",
                   {{"pool", self->state.pool}, {"session", what.session}, {"busy_ns", what.busy.count()}});
        self->state.policy->returned(what);
        if (what.pending) note_wish(self, what.session);
        note_lease(self->state, what.session);
        carry_out(self);
      },
      [self](overlap_atom, std::uint32_t session, std::uint64_t order) {
        self->state.policy->overran(session, order);
        carry_out(self);
      },
      [self](overdue_atom, std::uint32_t session, std::uint64_t order) { handle_overdue(self, session, order); },
      [self](changed_atom, const ConfigPtr& config) {
        handle_change(self, *config);
        carry_out(self);
      },
      [self](closed_atom, std::uint32_t session) {
        self->state.policy->closed(session);
        self->state.sessions.erase(session);
        carry_out(self);
      },
      [self](lost_atom, const std::string& how) {
        for (const auto& [id, session] : self->state.sessions) self->send(session.executor, lost_atom_v, how);
      },
      [self](end_atom, const SessionFilter& filter) {
        const SessionRecords records = those(self->state, filter);
        for (const SessionRecordPtr& record : records)
          self->send(self->state.sessions.at(record->session).executor, end_atom_v);
        return records;
      },
      [self](watch_atom, const SessionFilter& filter, std::uint32_t on, std::uint32_t off) {
        const SessionRecords records = those(self->state, filter);
        for (const SessionRecordPtr& record : records)
          self->send(self->state.sessions.at(record->session).executor, watch_atom_v, on, off);
        return records;
      },
      [](alive_atom) { return true; },
      [self](stop_atom) { self->quit(); },
  };
}

}  // namespace vgpu::daemon
