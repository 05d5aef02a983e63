#include "actors/connection.hpp"

#include <caf/all.hpp>

#include "actors/executor.hpp"
#include "actors/status.hpp"
#include "common/log.hpp"
#include "protocol/end_reason.hpp"

namespace vgpu::daemon {
namespace {

using Self = connection_actor::stateful_pointer<ConnectionState>;
using Phase = ConnectionState::Phase;

/// When the guest's threads are woken again after the end; see SessionMemory::wake_all().
constexpr std::array<std::chrono::milliseconds, 3> kMoreWakes{
    std::chrono::milliseconds(2), std::chrono::milliseconds(20), std::chrono::milliseconds(200)};

/// What a context of NVIDIA's driver takes of the device by itself: 526 MiB on an H100.
constexpr std::uint64_t kContextMemory = std::uint64_t{528} << 20;

Ending ending_of(ErrorCode code, const std::string& detail = {}) {
  const ErrorInfo& info = error_info(code);
  return {info.reason, info.result, detail.empty() ? info.text : info.text + (" (" + detail + ")")};
}

/// A fault is what nobody asked for: not the guest's own end, nor the daemon's, nor a session that is refused.
bool is_fault(vgpu_end_reason reason) noexcept {
  return reason != VGPU_END_NONE && reason != VGPU_END_CLOSED && reason != VGPU_END_DAEMON_STOPPED &&
         reason != VGPU_END_KILLED && reason != VGPU_END_LIMIT;
}

void count_fault(const ConnectionState& state, vgpu_end_reason reason) {
  const Context& context = *state.context;
  std::string error;
  if (context.quarantine->fault(state.identity.vm, reason, context.config()->quarantine,
                                std::chrono::system_clock::now(), error)) {
    log::error("a VM is quarantined: it gets no session until that is lifted",
               {{"vm", state.identity.vm}, {"last_fault", protocol::end_reason_text(reason)}});
    if (!error.empty())
      log::error("the quarantine ends with this daemon: it can't be kept",
                 {{"vm", state.identity.vm}, {"reason", error}});
  }
  caf::anon_send(state.context->metrics, fault_atom_v, state.identity.vm, state.identity.pool,
                 static_cast<std::uint32_t>(reason));
}

/// Last act, once the executor is gone and nobody is to be woken: nothing of the session is left but its numbers.
void finish_if_done(Self self) {
  ConnectionState& state = self->state;
  if (state.executor != nullptr || state.wakes_left != 0) return;
  if (state.counted) self->send(state.context->metrics, closed_atom_v, state.record, state.ending);
  if (const auto where = std::exchange(state.where, std::nullopt)) state.context->placement.leave(*where);
  self->quit();
  if (!state.greeted) return;
  const auto lasted = std::chrono::steady_clock::now() - state.begin;
  log::info("connection closed",
            {{"pid", state.socket->peer().pid},
             {"uid", state.socket->peer().uid},
             {"process", state.process},
             {"vm", state.identity.vm},
             {"pool", state.identity.pool},
             {"session", state.record != nullptr ? state.record->session : 0},
             {"reason", protocol::end_reason_text(state.ending.reason)},
             {"milliseconds", std::chrono::duration_cast<std::chrono::milliseconds>(lasted).count()}});
}

/// The one place where a connection ends, with or without a session.
void end_session(Self self, Ending ending) {
  ConnectionState& state = self->state;
  if (state.phase == Phase::ending) return;
  const Phase before = std::exchange(state.phase, Phase::ending);
  state.ending = std::move(ending);
  const Ending& why = state.ending;

  if (state.memory != nullptr) state.memory->end(why.reason, why.result);
  if (state.place != nullptr) state.place->ended();
  if (before != Phase::open) {
    if (why.reason != VGPU_END_CLOSED) {
      state.socket->welcome(refusal_welcome(why.reason, why.result, why.text), nullptr);
      self->send(state.context->metrics, refused_atom_v, static_cast<std::uint32_t>(why.reason));
      // Whoever monitors asks again and again.
      log::write(state.asks_status ? log::Level::debug : log::Level::warn, "connection refused",
                 {{"pid", state.socket->peer().pid},
                  {"uid", state.socket->peer().uid},
                  {"process", state.process},
                  {"vm", state.identity.vm},
                  {"pool", state.identity.pool},
                  {"reason", protocol::end_reason_text(why.reason)},
                  {"text", why.text}});
    }
  } else if (is_fault(why.reason)) {
    log::error("session ended by a fault", {{"vm", state.identity.vm},
                                            {"pool", state.identity.pool},
                                            {"session", state.record->session},
                                            {"process", state.process},
                                            {"reason", protocol::end_reason_text(why.reason)},
                                            {"result", why.result},
                                            {"text", why.text}});
  }
  if (state.record != nullptr && is_fault(why.reason)) count_fault(state, why.reason);
  state.socket->close();

  if (before == Phase::open) {
    self->send(state.scheduler, closed_atom_v, state.record->session);
    if (why.reason != VGPU_END_CLOSED) {
      state.wakes_left = kMoreWakes.size();
      for (const auto delay : kMoreWakes) self->delayed_send(self, delay, wake_atom_v);
    }
  }
  if (state.executor != nullptr) self->send(state.executor, stop_atom_v);
  finish_if_done(self);
}

/// Answers a guest that wants to know how things stand. Nothing of it is left on the host: it is no session.
void tell_status(Self self) {
  ConnectionState& state = self->state;
  std::string error;
  state.memory = state.socket->make_memory(VGPU_ARENA_OFFSET, 0, state.identity.vm, VGPU_FEATURE_STATUS, error);
  if (state.memory == nullptr || !state.memory->write_status(*status_of(*state.context, state.identity), error))
    return end_session(self, ending_of(ErrorCode::no_memory, error));
  protocol::Welcome welcome;
  welcome.region_bytes = state.memory->region_bytes();
  state.socket->welcome(welcome, state.memory);
  log::debug("status told", {{"pid", state.socket->peer().pid},
                             {"uid", state.socket->peer().uid},
                             {"process", state.process},
                             {"vm", state.identity.vm},
                             {"pool", state.identity.pool}});
  end_session(self, ending_of(ErrorCode::guest_closed));
}

void open_session(Self self, const protocol::Hello& hello) {
  ConnectionState& state = self->state;
  const Context& context = *state.context;
  const ConfigPtr config = context.config();
  if (context.quarantine->holds(state.identity.vm)) return end_session(self, ending_of(ErrorCode::quarantined));
  const bool keeps_pool = state.identity.registered;
  std::string unhealthy;
  bool drained = false;
  const auto usable = [&](const std::string& pool) {
    const PoolConfig* const terms = config->pool(pool);
    drained = terms != nullptr && terms->drained;
    return drained ? std::vector<bool>{} : context.healthy_places(pool, unhealthy);
  };
  state.where = context.placement.enter(config->tenant(state.identity.vm), state.identity.pool, keeps_pool, usable);
  if (!state.where)
    return end_session(self,
                       drained ? ending_of(ErrorCode::pool_drained) : ending_of(ErrorCode::gpu_unhealthy, unhealthy));
  state.identity.pool = state.where->pool;
  const Pool::Member& member = context.pools.at(state.where->pool).members.at(state.where->gpu);
  state.scheduler = member.scheduler;
  const std::uint32_t session = ++context.sessions;
  const std::uint64_t features = (VGPU_FEATURE_ARENA | VGPU_FEATURE_HOST_FUNCTIONS) & hello.features;
  std::string error;
  state.memory = state.socket->make_memory(config->region_bytes, session, state.identity.vm, features, error);
  if (state.memory == nullptr) return end_session(self, ending_of(ErrorCode::no_memory, error));
  VmAccounts::Refused refused{};
  state.place = context.accounts.open(state.identity.vm, config->limits_of(state.identity.vm), refused, error);
  if (refused == VmAccounts::Refused::too_many_sessions) {
    self->send(context.metrics, refused_atom_v, state.identity.vm, state.identity.pool);
    return end_session(self, ending_of(ErrorCode::vm_sessions));
  }
  if (state.place == nullptr) return end_session(self, ending_of(ErrorCode::no_memory, error));
  state.record = std::make_shared<SessionRecord>();
  state.record->session = session;
  state.record->vm = state.identity.vm;
  state.record->pool = state.identity.pool;
  state.record->gpus = member.place.uuids;
  state.record->process = state.process;
  state.record->pid = state.socket->peer().pid;
  state.record->uid = state.socket->peer().uid;
  state.record->memory = state.memory;
  state.record->guest_pid = hello.pid;

  ExecutorSpec spec;
  spec.session = session;
  spec.vm = state.identity.vm;
  spec.pool = state.identity.pool;
  spec.driver = member.place.driver;
  spec.program = context.executor_program;
  spec.spin_microseconds = config->spin_microseconds;
  spec.watch = (log::enabled(log::Level::debug) ? protocol::kWatchLog : 0u) | context.traces.join(state.record);
  spec.log_json = config->log_format == LogFormat::json;
  spec.memory = state.memory;
  state.record->place = state.place;
  spec.place = state.place;
  spec.context_memory = config->context_memory.value_or(member.place.driver.software ? 0 : kContextMemory);
  if (context.images != nullptr) {
    UniqueFd folder = context.images->open(state.identity.vm, state.memory->vm() != nullptr, state.socket->peer().uid);
    if (folder) {
      spec.images = std::make_shared<const UniqueFd>(std::move(folder));
      spec.images_bytes = config->images_bytes;
    }
  }
  state.phase = Phase::opening;
  state.executor =
      self->spawn<caf::monitored>(executor, state.context, std::move(spec), connection_actor(self), state.scheduler);
}

void handle_message(Self self, const Bytes& message) {
  ConnectionState& state = self->state;
  if (state.phase == Phase::ending) return;
  if (state.phase != Phase::greeting) return end_session(self, ending_of(ErrorCode::hello_unexpected));
  const auto checked = check_hello(message);
  if (const auto* refusal = std::get_if<Refusal>(&checked))
    return end_session(self, ending_of(refusal->code, refusal->detail));
  const auto& hello = std::get<protocol::Hello>(checked);
  if (hello.process[0] != '\0') state.process = hello.process.data();
  state.asks_status = (hello.features & VGPU_FEATURE_STATUS) != 0;
  const ConfigPtr config = state.context->config();
  const auto known = state.socket->identity();
  const auto identified =
      known ? identify_again(*config, *known) : identify(*config, state.socket->peer(), state.context->own_uid, hello);
  if (const auto* refusal = std::get_if<Refusal>(&identified))
    return end_session(self, ending_of(refusal->code, refusal->detail));
  state.identity = std::get<Identity>(identified);
  if (state.asks_status) return tell_status(self);
  state.greeted = true;
  log::info("connection opened", {{"pid", state.socket->peer().pid},
                                  {"uid", state.socket->peer().uid},
                                  {"process", state.process},
                                  {"vm", state.identity.vm},
                                  {"pool", state.identity.pool}});
  open_session(self, hello);
}

void handle_ready(Self self, const std::string& device) {
  ConnectionState& state = self->state;
  if (state.phase != Phase::opening) return;
  const ConfigPtr config = state.context->config();
  self->send(state.scheduler, opened_atom_v, state.record, state.executor, config->tenant(state.identity.vm));
  // After the scheduler knows the session: it ends those that it knows when a GPU fails, or a pool is drained of them.
  if (const std::string why = state.context->gpus->unhealthy(state.record->gpus); !why.empty())
    return end_session(self, ending_of(ErrorCode::gpu_unhealthy, why));
  if (const PoolConfig* const pool = config->pool(state.identity.pool); pool != nullptr && pool->drained)
    return end_session(self, ending_of(ErrorCode::pool_drained));
  state.phase = Phase::open;
  state.memory->open();
  // The books are told of a session before its guest is.
  state.counted = true;
  self->send(state.context->metrics, opened_atom_v, state.record);
  // As below: who begins to watch tells the sessions that the scheduler knows.
  if (const std::uint32_t watch = state.context->traces.join(state.record); watch != 0)
    self->send(state.executor, watch_atom_v, watch, std::uint32_t{0});
  // The first call comes within microseconds; the lease is there before it.
  self->send(state.scheduler, doorbell_atom_v, state.record->session);
  protocol::Welcome welcome;
  welcome.session = state.record->session;
  welcome.region_bytes = state.memory->region_bytes();
  device.copy(welcome.text.data(), welcome.text.size() - 1);
  state.socket->welcome(welcome, state.memory);
  log::info("session opened", {{"vm", state.identity.vm},
                               {"pool", state.identity.pool},
                               {"session", state.record->session},
                               {"pid", state.socket->peer().pid},
                               {"process", state.process},
                               {"device", device}});
}

void handle_doorbell(Self self, std::uint64_t rings) {
  ConnectionState& state = self->state;
  if (state.phase != Phase::open) return;
  // One eventfd write may add any number: counted as what it claims, bounded so that the sum can't overflow.
  state.record->doorbells.fetch_add(std::min<std::uint64_t>(rings, 1u << 20), std::memory_order_relaxed);
  self->send(state.scheduler, doorbell_atom_v, state.record->session);
  state.socket->rearm_doorbell();
}

void handle_fault(Self self, const Ending& fault) {
  ConnectionState& state = self->state;
  count_fault(state, fault.reason);
  log::error("fault", {{"vm", state.identity.vm},
                       {"pool", state.identity.pool},
                       {"session", state.record->session},
                       {"process", state.process},
                       {"reason", protocol::end_reason_text(fault.reason)},
                       {"result", fault.result},
                       {"text", fault.text}});
}

void start_socket(Self self) {
  const connection_actor me = self;
  GuestSocket::Handlers handlers;
  handlers.message = [me](Bytes message) { caf::anon_send(me, message_atom_v, std::move(message)); };
  handlers.hangup = [me] { caf::anon_send(me, hangup_atom_v); };
  handlers.doorbell = [me](std::uint64_t rings) { caf::anon_send(me, doorbell_atom_v, rings); };
  self->state.socket->start(std::move(handlers));
  self->delayed_send(self, self->state.context->deadlines.hello, overdue_atom_v);
}

}  // namespace

ConnectionState::~ConnectionState() {
  if (where) context->placement.leave(*where);
  if (phase == Phase::ending) return;
  if (memory != nullptr) memory->end(VGPU_END_EXECUTOR_DIED, kCudaErrorUnknown);
  if (socket != nullptr) socket->close();
}

protocol::Welcome refusal_welcome(vgpu_end_reason reason, std::int32_t result, std::string_view text) {
  protocol::Welcome welcome;
  welcome.result = result;
  welcome.reason = reason;
  text.copy(welcome.text.data(), welcome.text.size() - 1);
  return welcome;
}

connection_actor::behavior_type connection(Self self, ContextPtr context, GuestSocketPtr socket) {
  self->state.context = std::move(context);
  self->state.socket = std::move(socket);
  self->state.process = self->state.socket->process();
  self->set_down_handler([self](const caf::down_msg& down) {
    // The executor's actor ends after exited_atom; anything else is a defect, and the session can't go on.
    if (self->state.executor == nullptr || down.source != self->state.executor->address()) return;
    self->state.executor = nullptr;
    if (down.reason != caf::exit_reason::normal)
      log::error("an executor's actor failed", {{"error", self->system().render(down.reason)}});
    if (self->state.phase == Phase::ending) return finish_if_done(self);
    end_session(self, ending_of(ErrorCode::internal));
  });
  start_socket(self);
  return {
      [self](message_atom, const Bytes& message) { handle_message(self, message); },
      [self](hangup_atom) { end_session(self, ending_of(ErrorCode::guest_closed)); },
      [self](doorbell_atom, std::uint64_t rings) { handle_doorbell(self, rings); },
      [self](overdue_atom) {
        if (self->state.phase == Phase::greeting) end_session(self, ending_of(ErrorCode::hello_late));
      },
      [self](wake_atom) {
        if (self->state.wakes_left == 0) return;
        self->state.memory->wake_all();
        --self->state.wakes_left;
        finish_if_done(self);
      },
      [self](ready_atom, const std::string& device) { handle_ready(self, device); },
      [self](fault_atom, const Ending& fault) { handle_fault(self, fault); },
      [self](ended_atom, const Ending& ending) { end_session(self, ending); },
      [self](exited_atom) {
        // Comes before the actor's DOWN, and after ended_atom.
        self->state.executor = nullptr;
        if (self->state.phase != Phase::ending)
          end_session(self, ending_of(ErrorCode::executor_died));
        else
          finish_if_done(self);
      },
      [self](stop_atom) { end_session(self, ending_of(ErrorCode::daemon_stopped)); },
  };
}

}  // namespace vgpu::daemon
