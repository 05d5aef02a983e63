#include "actors/admin.hpp"

#include <algorithm>
#include <caf/all.hpp>

#include "actors/admin_verbs.hpp"
#include "common/log.hpp"

namespace vgpu::daemon {
namespace {

constexpr std::size_t kMostClients = 64;
/// How often streams are looked at.
constexpr std::chrono::milliseconds kTick{20};
/// One line for each user who is refused in so much time.
constexpr std::chrono::seconds kRefusedEvery{10};
/// An actor that takes longer is stuck.
constexpr std::chrono::seconds kAliveWithin{5};

void refuse(AdminSelf self, const AdminClientPtr& socket, const AdminError& error) {
  const Peer& peer = socket->peer();
  const auto now = std::chrono::steady_clock::now();
  const auto [found, first] = self->state.refused.try_emplace(peer.uid, now);
  if (first || now - found->second >= kRefusedEvery) {
    found->second = now;
    log::warn("an admin client is refused", {{"uid", peer.uid}, {"pid", peer.pid}, {"reason", error.text}});
  }
  socket->send(error_line(error));
  socket->close();
}

void accept(AdminSelf self, const AdminClientPtr& socket) {
  AdminState& state = self->state;
  const Context& context = *state.parts.context;
  const ConfigPtr config = context.config();
  if (!may_administer(socket->peer(), socket->groups(), context.own_uid, config->admin_gid))
    return refuse(self, socket,
                  {"not_permitted", "only root, vgpud's own user and members of the group " + config->admin_group +
                                        " may do this; an administrator of this host can add you to it"});
  if (state.clients.size() >= kMostClients)
    return refuse(self, socket, {"busy", "vgpud serves as many operators as it can; end another vgpuctl"});
  const std::uint64_t id = ++state.last_client;
  state.clients[id].socket = socket;
  const admin_actor me = self;
  AdminClient::Handlers handlers;
  handlers.line = [me, id](std::string line) { caf::anon_send(me, line_atom_v, id, std::move(line)); };
  handlers.hangup = [me, id] { caf::anon_send(me, hangup_atom_v, id); };
  socket->start(std::move(handlers));
}

void handle_line(AdminSelf self, std::uint64_t id, const std::string& line) {
  const auto found = self->state.clients.find(id);
  if (found == self->state.clients.end()) return;
  if (found->second.watches.index() != 0) {
    fail_client(self, id, {"bad_request", "a second request while the first one goes on; connect once more for it"});
    return drop_client(self, id);
  }
  const auto read = read_admin_request(line, *self->state.parts.context->config());
  if (const auto* error = std::get_if<AdminError>(&read)) return fail_client(self, id, *error);
  carry_out(self, id, std::get<AdminRequest>(read));
}

void tick(AdminSelf self) {
  AdminState& state = self->state;
  bool any = false;
  for (auto& [id, client] : state.clients) {
    if (auto* trace = std::get_if<AdminState::Trace>(&client.watches)) {
      for (const SessionRecordPtr& record : state.parts.context->traces.take_joined(trace->vm))
        trace->stream.add(record, false);
      for (std::string& line : trace->stream.take()) client.socket->send(std::move(line));
      any = true;
    } else if (auto* events = std::get_if<EventStream>(&client.watches)) {
      for (const Json& event : events->take()) client.socket->send(json_text(event));
      any = true;
    }
  }
  state.ticking = any;
  if (any) self->delayed_send(self, kTick, tick_atom_v);
}

/// One round: all have to answer, in time.
void ask_all(AdminSelf self) {
  AdminState& state = self->state;
  const auto pending = std::make_shared<std::size_t>(state.schedulers.size() + 2);
  const auto answered = [self, pending](bool) {
    if (--*pending == 0) self->state.parts.alive();
  };
  const auto failed = [](const caf::error&) {
    log::error("an actor of vgpud does not answer: the service manager's watchdog is not fed");
  };
  for (const pool_scheduler_actor& scheduler : state.schedulers)
    self->request(scheduler, kAliveWithin, alive_atom_v).then(answered, failed);
  self->request(state.parts.listener, kAliveWithin, alive_atom_v).then(answered, failed);
  self->request(state.parts.context->metrics, kAliveWithin, alive_atom_v).then(answered, failed);
}

void stop(AdminSelf self) {
  for (auto& [id, client] : self->state.clients) client.socket->close();
  self->state.clients.clear();
  self->state.schedulers.clear();
  self->state.parts = {};
  self->quit();
}

}  // namespace

bool may_administer(const Peer& peer, const std::vector<gid_t>& groups, uid_t own_uid, std::optional<gid_t> admin_gid) {
  return peer.uid == 0 || peer.uid == own_uid ||
         (admin_gid && std::find(groups.begin(), groups.end(), *admin_gid) != groups.end());
}

void begin_ticks(AdminSelf self) {
  if (std::exchange(self->state.ticking, true)) return;
  self->send(self, tick_atom_v);
}

admin_actor::behavior_type admin(AdminSelf self, AdminParts parts) {
  self->state.parts = std::move(parts);
  self->state.parts.context->for_each_member(
      [&](const std::string&, const Pool::Member& member) { self->state.schedulers.push_back(member.scheduler); });
  return {
      [self](accepted_atom, const AdminClientPtr& socket) { accept(self, socket); },
      [self](line_atom, std::uint64_t id, const std::string& line) { handle_line(self, id, line); },
      [self](hangup_atom, std::uint64_t id) { drop_client(self, id); },
      [self](tick_atom) { tick(self); },
      [self](overdue_atom, std::uint64_t id) { end_profile(self, id); },
      [self](alive_atom) { ask_all(self); },
      [self](stop_atom) { stop(self); },
  };
}

}  // namespace vgpu::daemon
