#include "actors/metrics.hpp"

#include <caf/all.hpp>

#include "common/log.hpp"
#include "protocol/end_reason.hpp"

namespace vgpu::daemon {
namespace {

using Self = metrics_actor::stateful_pointer<MetricsState>;

constexpr std::chrono::seconds kTick{1};
constexpr unsigned kTicksOfInterval = 60;

void log_closed(const SessionRecord& session, const Ending& ending, const Totals& totals) {
  using protocol::SessionStats;
  log::info("session closed", {{"vm", session.vm},
                               {"pool", session.pool},
                               {"session", session.session},
                               {"reason", protocol::end_reason_text(ending.reason)},
                               {"text", ending.text},
                               {"calls", totals.calls},
                               {"kernels", totals.kernels},
                               {"doorbells", totals.doorbells},
                               {"host_to_device", totals.copied[SessionStats::host_to_device]},
                               {"device_to_host", totals.copied[SessionStats::device_to_host]},
                               {"device_to_device", totals.copied[SessionStats::device_to_device]}});
}

void write_accounts(Self self) {
  MetricsState& state = self->state;
  if (state.accounting == nullptr) return;
  std::string error;
  if (!state.accounting->write(state.store->accounts(), std::chrono::system_clock::now(), error))
    log::error("the accounts cannot be written; they are kept and written later", {{"reason", error}});
}

void tick(Self self) {
  MetricsState& state = self->state;
  const auto now = self->clock().now();
  state.store->sample(now - std::exchange(state.last_tick, now));
  if (++state.ticks == kTicksOfInterval) {
    state.ticks = 0;
    write_accounts(self);
  }
  self->delayed_send(self, kTick, tick_atom_v);
}

}  // namespace

metrics_actor::behavior_type metrics(Self self, std::shared_ptr<MetricsStore> store,
                                     std::shared_ptr<Accounting> accounting) {
  self->state.store = std::move(store);
  self->state.accounting = std::move(accounting);
  self->state.last_tick = self->clock().now();
  self->delayed_send(self, kTick, tick_atom_v);
  return {
      [self](opened_atom, const SessionRecordPtr& session) { self->state.store->opened(session); },
      [self](closed_atom, const SessionRecordPtr& session, const Ending& ending) {
        log_closed(*session, ending, self->state.store->closed(session));
      },
      [self](fault_atom, std::uint32_t vm, const std::string& pool, std::uint32_t reason) {
        self->state.store->fault(vm, pool, static_cast<vgpu_end_reason>(reason));
      },
      [self](opened_atom, std::uint32_t vm, const std::string& pool) { self->state.store->vm_connected(vm, pool); },
      [self](closed_atom, std::uint32_t vm, const std::string& pool) { self->state.store->vm_disconnected(vm, pool); },
      [self](refused_atom, std::uint32_t reason) { self->state.store->refused(static_cast<vgpu_end_reason>(reason)); },
      [self](refused_atom, std::uint32_t vm, const std::string& pool) { self->state.store->session_refused(vm, pool); },
      [self](tick_atom) { tick(self); },
      [](alive_atom) { return true; },
      [self](stop_atom) {
        write_accounts(self);
        self->quit();
      },
  };
}

}  // namespace vgpu::daemon
