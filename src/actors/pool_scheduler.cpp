#include "actors/pool_scheduler.hpp"

#include <caf/all.hpp>

#include "common/log.hpp"

namespace vgpu::daemon {
namespace {

using Self = pool_scheduler_actor::stateful_pointer<PoolSchedulerState>;

void give_leases(Self self) {
  PoolSchedulerState& state = self->state;
  for (const Grant& grant : state.policy->next_grants()) {
    const auto found = state.executors.find(grant.session);
    if (found == state.executors.end()) continue;
    log::debug("lease begins", {{"pool", state.pool}, {"session", grant.session}});
    self->send(found->second, lease_atom_v, static_cast<std::uint64_t>(grant.quantum.count()));
  }
}

}  // namespace

pool_scheduler_actor::behavior_type pool_scheduler(Self self, std::string pool,
                                                   std::shared_ptr<std::unique_ptr<LeasePolicy>> policy) {
  self->state.pool = std::move(pool);
  self->state.policy = std::move(*policy);
  return {
      [self](opened_atom, std::uint32_t session, const executor_actor& executor) {
        self->state.executors.insert_or_assign(session, executor);
        self->state.policy->opened(session);
        give_leases(self);
      },
      [self](doorbell_atom, std::uint32_t session) {
        self->state.policy->runnable(session);
        give_leases(self);
      },
      [self](idle_atom, std::uint32_t session, std::uint64_t busy) {
        log::debug("lease ends", {{"pool", self->state.pool}, {"session", session}, {"busy_ns", busy}});
        self->state.policy->idle(session, std::chrono::nanoseconds(busy));
        give_leases(self);
      },
      [self](closed_atom, std::uint32_t session) {
        self->state.policy->closed(session);
        self->state.executors.erase(session);
        give_leases(self);
      },
      [self](stop_atom) { self->quit(); },
  };
}

}  // namespace vgpu::daemon
