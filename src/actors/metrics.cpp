#include "actors/metrics.hpp"

#include <caf/all.hpp>

#include "common/log.hpp"
#include "protocol/end_reason.hpp"

namespace vgpu::daemon {
namespace {

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

}  // namespace

metrics_actor::behavior_type metrics(metrics_actor::stateful_pointer<MetricsState> self,
                                     std::shared_ptr<MetricsStore> store) {
  self->state.store = std::move(store);
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
      [self](stop_atom) { self->quit(); },
  };
}

}  // namespace vgpu::daemon
