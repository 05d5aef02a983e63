#include "actors/listener.hpp"

#include <caf/all.hpp>

#include "actors/connection.hpp"
#include "actors/vm_connection.hpp"
#include "common/log.hpp"

namespace vgpu::daemon {
namespace {

using Self = listener_actor::stateful_pointer<ListenerState>;

void refuse(const ListenerState& state, const GuestSocketPtr& socket, ErrorCode code) {
  const ErrorInfo& info = error_info(code);
  log::warn("connection refused", {{"pid", socket->peer().pid},
                                   {"uid", socket->peer().uid},
                                   {"process", socket->process()},
                                   {"reason", info.text}});
  socket->welcome(refusal_welcome(info.reason, info.result, info.text), nullptr);
  socket->close();
  caf::anon_send(state.context->metrics, refused_atom_v, static_cast<std::uint32_t>(info.reason));
}

void accept(Self self, const GuestSocketPtr& socket) {
  ListenerState& state = self->state;
  if (state.stopping) return refuse(state, socket, ErrorCode::daemon_stopped);
  if (state.connections.size() >= state.context->most_connections) return refuse(state, socket, ErrorCode::too_many);
  auto made = self->spawn<caf::monitored>(connection, state.context, socket);
  state.connections.emplace(made->address(), made);
}

void accept_vm(Self self, const VmLinkPtr& link) {
  ListenerState& state = self->state;
  const bool full = state.vms.size() >= state.context->most_connections;
  if (state.stopping || full) {
    const ErrorInfo& info = error_info(full ? ErrorCode::too_many : ErrorCode::daemon_stopped);
    link->refuse(info.text);
    return link->close();
  }
  auto made = self->spawn<caf::monitored>(vm_connection, state.context, link, listener_actor(self));
  state.vms.emplace(made->address(), made);
}

/// A VM is one QEMU. Id 0 is no VM's own.
caf::result<bool> claim(Self self, std::uint32_t vm) {
  const auto sender = caf::actor_cast<caf::actor_addr>(self->current_sender());
  if (vm == 0) return true;
  auto& claim = self->state.claims[vm];
  if (!claim.owner) claim.owner = sender;
  if (claim.owner == sender) return true;
  if (!claim.ending || claim.next) return false;
  claim.next = sender;
  claim.promise = self->make_response_promise<bool>();
  return claim.promise;
}

void begin_unclaim(Self self, std::uint32_t vm) {
  const auto found = self->state.claims.find(vm);
  if (found != self->state.claims.end() &&
      found->second.owner == caf::actor_cast<caf::actor_addr>(self->current_sender()))
    found->second.ending = true;
}

void forget(ListenerState& state, const caf::actor_addr& gone) {
  state.connections.erase(gone);
  state.vms.erase(gone);
  for (auto& [vm, claim] : state.claims) {
    if (claim.next == gone) claim.next = nullptr;
    if (claim.owner != gone) continue;
    claim.owner = std::exchange(claim.next, nullptr);
    claim.ending = false;
    if (claim.owner) claim.promise.deliver(true);
  }
  std::erase_if(state.claims, [](const auto& entry) { return !entry.second.owner; });
}

void finish_if_empty(Self self) {
  ListenerState& state = self->state;
  if (!state.stopping || !state.connections.empty() || !state.vms.empty()) return;
  if (const auto stopped = std::exchange(state.stopped, nullptr)) stopped();
  self->quit();
}

}  // namespace

listener_actor::behavior_type listener(Self self, ContextPtr context, std::function<void()> stopped) {
  self->state.context = std::move(context);
  self->state.stopped = std::move(stopped);
  self->set_down_handler([self](const caf::down_msg& down) {
    forget(self->state, down.source);
    if (down.reason != caf::exit_reason::normal)
      log::error("a connection's actor failed", {{"error", self->system().render(down.reason)}});
    finish_if_empty(self);
  });
  return {
      [self](accepted_atom, const GuestSocketPtr& socket) { accept(self, socket); },
      [self](accepted_atom, const VmLinkPtr& link) { accept_vm(self, link); },
      [self](claim_atom, std::uint32_t vm) { return claim(self, vm); },
      [self](closed_atom, std::uint32_t vm) { begin_unclaim(self, vm); },
      [](alive_atom) { return true; },
      [self](stop_atom) {
        if (self->state.stopping) return;
        self->state.stopping = true;
        for (const auto& [address, connection] : self->state.connections) self->send(connection, stop_atom_v);
        for (const auto& [address, vm] : self->state.vms) self->send(vm, stop_atom_v);
        finish_if_empty(self);
      },
  };
}

}  // namespace vgpu::daemon
