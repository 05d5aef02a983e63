#include "actors/admin_verbs.hpp"

#include <algorithm>

#include "actors/build_info.hpp"
#include "common/log.hpp"

namespace vgpu::daemon {
namespace {

/// Schedulers answer within microseconds.
constexpr std::chrono::seconds kPatience{5};

void answer(AdminSelf self, std::uint64_t id, const Json& json) {
  const auto found = self->state.clients.find(id);
  if (found == self->state.clients.end()) return;
  Json whole{{"ok", true}};
  whole.update(json);
  found->second.socket->send(json_text(whole));
  found->second.socket->next();
}

/// Says who did what, for those who ask later.
void note(AdminSelf self, std::uint64_t id, std::string_view verb, const std::string& what) {
  const Peer& peer = self->state.clients.at(id).socket->peer();
  log::info("an operator's order", {{"verb", verb}, {"what", what}, {"uid", peer.uid}, {"pid", peer.pid}});
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += (text.empty() ? "" : "\n") + line;
  return text;
}

/// Sends a message with a filter to all schedulers; `done` gets the sessions that it meant.
template <typename Done, typename... Message>
void ask_schedulers(AdminSelf self, Done done, Message... message) {
  struct Gathered {
    SessionRecords records;
    std::size_t pending;
  };
  const auto gathered = std::make_shared<Gathered>(Gathered{{}, self->state.schedulers.size()});
  const auto finish = [gathered, done] {
    if (--gathered->pending == 0) done(gathered->records);
  };
  for (const pool_scheduler_actor& scheduler : self->state.schedulers)
    self->request(scheduler, kPatience, message...)
        .then(
            [gathered, finish](const SessionRecords& records) {
              gathered->records.insert(gathered->records.end(), records.begin(), records.end());
              finish();
            },
            [finish](const caf::error&) { finish(); });
}

std::vector<std::uint32_t> numbers(const SessionRecords& records) {
  std::vector<std::uint32_t> sessions;
  for (const SessionRecordPtr& record : records) sessions.push_back(record->session);
  std::sort(sessions.begin(), sessions.end());
  return sessions;
}

void answer_with_kept(AdminSelf self, std::uint64_t id, Json json, const std::string& not_kept) {
  json["kept"] = not_kept.empty();
  if (!not_kept.empty()) json["not_kept"] = not_kept;
  answer(self, id, json);
}

void set(AdminSelf self, std::uint64_t id, const AdminRequest& request) {
  std::string not_kept;
  const auto mistakes = self->state.parts.configuration->set(*request.vm, request.key, request.value, not_kept);
  if (!mistakes.empty()) return fail_client(self, id, {"bad_value", joined(mistakes)});
  note(self, id, "set", "VM " + std::to_string(*request.vm) + ' ' + setting_key(request.key) + ' ' + request.value);
  answer_with_kept(self, id, {{"vm", *request.vm}, {"key", setting_key(request.key)}, {"value", request.value}},
                   not_kept);
}

void kill(AdminSelf self, std::uint64_t id, std::uint32_t session) {
  note(self, id, "kill", "session " + std::to_string(session));
  ask_schedulers(
      self,
      [self, id, session](const SessionRecords& ended) {
        if (ended.empty())
          return fail_client(
              self, id,
              {"unknown_session", "there is no session " + std::to_string(session) + "; vgpuctl sessions lists them"});
        answer(self, id, {{"ended", numbers(ended)}});
      },
      end_atom_v, SessionFilter{session, {}});
}

/// Answers with `json`; if the request says so, after the sessions that `filter` means have been told to end.
void answer_and_end(AdminSelf self, std::uint64_t id, const Json& json, bool end, const std::string& not_kept,
                    const std::optional<std::uint32_t>& vm, const std::string& pool) {
  if (!end) return answer_with_kept(self, id, json, not_kept);
  const auto done = [self, id, json, not_kept](const SessionRecords& ended) {
    Json whole = json;
    whole["ended"] = numbers(ended);
    answer_with_kept(self, id, std::move(whole), not_kept);
  };
  SessionFilter filter;
  filter.vm = vm;
  filter.pool = pool;
  ask_schedulers(self, done, end_atom_v, filter);
}

void drain(AdminSelf self, std::uint64_t id, const AdminRequest& request) {
  const bool drained = request.verb == "drain";
  std::string not_kept;
  const auto mistakes = self->state.parts.configuration->drain(request.pool, drained, not_kept);
  if (!mistakes.empty()) return fail_client(self, id, {"bad_value", joined(mistakes)});
  note(self, id, request.verb, "pool " + request.pool);
  answer_and_end(self, id, {{"pool", request.pool}, {"state", drained ? "drained" : "open"}}, drained && request.end,
                 not_kept, {}, request.pool);
}

void quarantine(AdminSelf self, std::uint64_t id, const AdminRequest& request) {
  const std::uint32_t vm = *request.vm;
  if (vm == 0)
    return fail_client(self, id,
                       {"bad_value",
                        "VM 0 stands for all processes that claim no VM, and is never "
                        "quarantined; allow = false in [unregistered] refuses them"});
  std::string error;
  Quarantine& all = *self->state.parts.context->quarantine;
  const bool changed = all.impose(vm, std::chrono::system_clock::now(), error);
  note(self, id, "quarantine", "VM " + std::to_string(vm));
  answer_and_end(self, id, {{"vm", vm}, {"state", "quarantined"}, {"changed", changed}}, request.end, error, vm, "");
}

void release(AdminSelf self, std::uint64_t id, std::uint32_t vm) {
  std::string error;
  if (!self->state.parts.context->quarantine->lift(vm, error))
    return fail_client(self, id, {"not_quarantined", "VM " + std::to_string(vm) + " is not quarantined"});
  note(self, id, "release", "VM " + std::to_string(vm));
  answer_with_kept(self, id, {{"vm", vm}, {"state", "released"}}, error);
}

void reload(AdminSelf self, std::uint64_t id) {
  note(self, id, "reload", "the configuration");
  const auto reasons = self->state.parts.configuration->reload();
  if (!reasons.empty()) return fail_client(self, id, {"not_reloaded", joined(reasons)});
  const ConfigPtr config = self->state.parts.context->config();
  answer(self, id, {{"pools", config->pools.size()}, {"vms", config->vms.size()}});
}

void log_level(AdminSelf self, std::uint64_t id, const std::string& text) {
  const auto level = log::level_from_text(text);
  if (!level)
    return fail_client(self, id, {"bad_value", "\"" + text + "\" is no level: trace, debug, info, warn or error"});
  note(self, id, "log-level", text);
  log::setup(*level);
  answer(self, id, {{"log_level", text}});
}

void trace(AdminSelf self, std::uint64_t id, std::uint32_t vm) {
  if (!self->state.parts.context->traces.begin(vm))
    return fail_client(self, id, {"busy", "somebody traces VM " + std::to_string(vm) + " already"});
  note(self, id, "trace", "VM " + std::to_string(vm));
  self->state.clients.at(id).watches = AdminState::Trace{vm, {}};
  SessionFilter filter;
  filter.vm = vm;
  const auto begun = [self, id, vm](const SessionRecords& records) {
    const auto found = self->state.clients.find(id);
    if (found == self->state.clients.end()) return;
    for (const SessionRecordPtr& record : records)
      std::get<AdminState::Trace>(found->second.watches).stream.add(record, true);
    answer(self, id, {{"vm", vm}, {"sessions", numbers(records)}});
    begin_ticks(self);
  };
  ask_schedulers(self, begun, watch_atom_v, filter, std::uint32_t{protocol::kWatchTrace}, std::uint32_t{0});
}

void events(AdminSelf self, std::uint64_t id, bool follow) {
  EventStream stream;
  answer(self, id, {{"events", stream.take()}});
  if (!follow) return;
  self->state.clients.at(id).watches = std::move(stream);
  begin_ticks(self);
}

void unwatch_profile(AdminSelf self, std::uint32_t session) {
  ask_schedulers(
      self, [](const SessionRecords&) {}, watch_atom_v, SessionFilter{session, {}}, std::uint32_t{0},
      std::uint32_t{protocol::kWatchProfile});
}

void profile(AdminSelf self, std::uint64_t id, const AdminRequest& request) {
  const std::uint32_t session = *request.session;
  for (const auto& [other, client] : self->state.clients)
    if (const auto* theirs = std::get_if<ProfileStream>(&client.watches); theirs && theirs->session() == session)
      return fail_client(self, id, {"busy", "somebody profiles session " + std::to_string(session) + " already"});
  const auto milliseconds = std::chrono::milliseconds(static_cast<std::int64_t>(request.seconds * 1000));
  const auto begun = [self, id, session, milliseconds](const SessionRecords& records) {
    const auto found = self->state.clients.find(id);
    if (records.empty())
      return fail_client(
          self, id,
          {"unknown_session", "there is no session " + std::to_string(session) + "; vgpuctl sessions lists them"});
    if (found == self->state.clients.end()) return unwatch_profile(self, session);
    found->second.watches.emplace<ProfileStream>(records.front());
    found->second.socket->next();  // to see whether the client goes
    self->delayed_send(self, milliseconds, overdue_atom_v, id);
  };
  ask_schedulers(self, begun, watch_atom_v, SessionFilter{session, {}}, std::uint32_t{protocol::kWatchProfile},
                 std::uint32_t{0});
}

/// What is asked and answered at once. Nothing: it is another verb.
std::optional<Json> look_up(AdminSelf self, const AdminRequest& request) {
  const AdminSources& sources = self->state.parts.sources;
  const ConfigPtr config = self->state.parts.context->config();
  if (request.verb == "status") return Json{{"status", status_json(sources, *config)}};
  if (request.verb == "vms") return Json{{"vms", vms_json(sources, *config)}};
  if (request.verb == "sessions") return Json{{"sessions", sessions_json(sources)}};
  if (request.verb == "pools") return Json{{"pools", pools_json(sources, *config)}};
  if (request.verb == "gpus") return Json{{"gpus", gpus_json(sources)}};
  if (request.verb != "top") return std::nullopt;
  const std::chrono::duration<double> now = std::chrono::steady_clock::now().time_since_epoch();
  return Json{{"clock_seconds", now.count()},
              {"status", status_json(sources, *config)},
              {"gpus", gpus_json(sources)},
              {"pools", pools_json(sources, *config)},
              {"vms", vms_json(sources, *config)}};
}

}  // namespace

std::string json_text(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

void fail_client(AdminSelf self, std::uint64_t id, const AdminError& error) {
  const auto found = self->state.clients.find(id);
  if (found == self->state.clients.end()) return;
  found->second.socket->send(error_line(error));
  found->second.socket->next();
}

void drop_client(AdminSelf self, std::uint64_t id) {
  const auto found = self->state.clients.find(id);
  if (found == self->state.clients.end()) return;
  const auto watches = std::move(found->second.watches);
  found->second.socket->close();
  self->state.clients.erase(found);
  if (const auto* trace = std::get_if<AdminState::Trace>(&watches)) {
    self->state.parts.context->traces.end(trace->vm);
    SessionFilter filter;
    filter.vm = trace->vm;
    ask_schedulers(
        self, [](const SessionRecords&) {}, watch_atom_v, filter, std::uint32_t{0},
        std::uint32_t{protocol::kWatchTrace});
  } else if (const auto* profile = std::get_if<ProfileStream>(&watches)) {
    unwatch_profile(self, profile->session());
  }
}

void end_profile(AdminSelf self, std::uint64_t id) {
  const auto found = self->state.clients.find(id);
  if (found == self->state.clients.end()) return;
  const auto* const profile = std::get_if<ProfileStream>(&found->second.watches);
  if (profile == nullptr) return;
  const Json result = profile->result();
  unwatch_profile(self, profile->session());
  found->second.watches.emplace<std::monostate>();
  found->second.socket->send(json_text({{"ok", true}, {"profile", result}}));
}

void carry_out(AdminSelf self, std::uint64_t id, const AdminRequest& request) {
  const std::string& verb = request.verb;
  if (const auto known = look_up(self, request)) return answer(self, id, *known);
  if (verb == "set") return set(self, id, request);
  if (verb == "kill") return kill(self, id, *request.session);
  if (verb == "quarantine") return quarantine(self, id, request);
  if (verb == "release") return release(self, id, *request.vm);
  if (verb == "drain" || verb == "resume") return drain(self, id, request);
  if (verb == "reload") return reload(self, id);
  if (verb == "log-level") return log_level(self, id, request.value);
  if (verb == "trace") return trace(self, id, *request.vm);
  if (verb == "events") return events(self, id, request.follow);
  if (verb == "profile") return profile(self, id, request);
  fail_client(self, id, {"unknown_verb", "vgpud " + std::string(kVersion) + " can't do \"" + verb + "\""});
}

}  // namespace vgpu::daemon
