#include "actors/executor.hpp"

#include <caf/all.hpp>

#include "common/log.hpp"

namespace vgpu::daemon {
namespace {

using Self = executor_actor::stateful_pointer<ExecutorState>;
using protocol::ExecutorCommand;
using protocol::ExecutorEvent;

/// Numbers of the deadlines, in overdue_atom.
constexpr std::uint32_t kReadyDeadline = 1, kStopDeadline = 2;
/// What an executor may claim to have used, so that sums can't overflow: a day.
constexpr std::uint64_t kLongestLease = 86'400'000'000'000;

void tell_end(Self self, Ending ending) {
  ExecutorState& state = self->state;
  if (std::exchange(state.told_end, true)) return;
  self->send(state.connection, ended_atom_v, std::move(ending));
}

void tell_end(Self self, ErrorCode code, const std::string& detail) {
  const ErrorInfo& info = error_info(code);
  tell_end(self, Ending{info.reason, info.result, detail.empty() ? info.text : info.text + (": " + detail)});
}

/// The process should go now: by its own will within the grace period, else by force.
void begin_stop(Self self) {
  ExecutorState& state = self->state;
  if (state.phase == ExecutorState::Phase::stopping || state.process == nullptr) return;
  state.phase = ExecutorState::Phase::stopping;
  self->send(state.pool, closed_atom_v, state.spec.session);
  ExecutorCommand stop;
  stop.type = ExecutorCommand::Type::stop;
  stop.session = state.spec.session;
  state.process->send(stop);
  self->delayed_send(self, state.context->deadlines.executor_stop, overdue_atom_v, kStopDeadline);
}

void lease(Self self, const LeaseOrder& order) {
  ExecutorState& state = self->state;
  if (state.phase != ExecutorState::Phase::running) return;
  ExecutorCommand command;
  command.type = order.kind == LeaseOrder::Kind::run ? ExecutorCommand::Type::run : ExecutorCommand::Type::yield;
  command.session = state.spec.session;
  command.order = order.number;
  command.quantum_microseconds = static_cast<std::uint64_t>(order.quantum.count());
  command.backlog_microseconds = static_cast<std::uint64_t>(order.backlog.count());
  state.process->send(command);
}

/// Nothing that is asked of the process would be heard: its driver waits for the GPU.
void end_at_once(Self self, ErrorCode code, const std::string& detail) {
  ExecutorState& state = self->state;
  if (state.phase != ExecutorState::Phase::running) return;
  tell_end(self, code, detail);
  state.phase = ExecutorState::Phase::stopping;
  self->send(state.pool, closed_atom_v, state.spec.session);
  state.process->kill();
}

void watch(Self self, std::uint32_t on, std::uint32_t off) {
  ExecutorState& state = self->state;
  state.spec.watch = (state.spec.watch & ~off) | on;
  if (state.phase != ExecutorState::Phase::running) return;
  ExecutorCommand command;
  command.type = ExecutorCommand::Type::watch;
  command.session = state.spec.session;
  command.watch = state.spec.watch;
  state.process->send(command);
}

/// A reason that the executor states, if it is one of those that exist and mean a fault.
vgpu_end_reason stated_reason(const ExecutorEvent& event, vgpu_end_reason otherwise) {
  const auto reason = static_cast<vgpu_end_reason>(event.reason);
  return event.reason > VGPU_END_CLOSED && event.reason <= VGPU_END_KILLED ? reason : otherwise;
}

void handle_event(Self self, const ExecutorEvent& event) {
  using Phase = ExecutorState::Phase;
  ExecutorState& state = self->state;
  const std::string text = event.text.data();
  switch (event.type) {
    case ExecutorEvent::Type::ready:
      if (state.phase != Phase::starting) break;
      state.phase = Phase::running;
      state.was_ready = true;
      self->send(state.connection, ready_atom_v, text);
      break;
    case ExecutorEvent::Type::failed: {
      const ErrorInfo& info = error_info(ErrorCode::executor_refused);
      tell_end(self,
               Ending{info.reason, event.result != 0 ? event.result : info.result, text.empty() ? info.text : text});
      begin_stop(self);
      break;
    }
    case ExecutorEvent::Type::idle:
      if (state.phase == Phase::running)
        self->send(state.pool, idle_atom_v,
                   LeaseReturn{state.spec.session, event.order,
                               std::chrono::nanoseconds(std::min(event.counted_nanoseconds, kLongestLease)),
                               event.pending != 0});
      break;
    case ExecutorEvent::Type::fault:
      self->send(state.connection, fault_atom_v, Ending{stated_reason(event, VGPU_END_GPU_FAULT), event.result, text});
      break;
    case ExecutorEvent::Type::ended:
      tell_end(self,
               Ending{event.reason == VGPU_END_CLOSED ? VGPU_END_CLOSED : stated_reason(event, VGPU_END_EXECUTOR_DIED),
                      event.result != 0 ? event.result : kCudaErrorUnknown, text});
      begin_stop(self);
      break;
  }
  if (state.process != nullptr) state.process->resume();
}

void handle_overdue(Self self, std::uint32_t deadline) {
  ExecutorState& state = self->state;
  if (state.process == nullptr) return;
  if (deadline == kReadyDeadline && state.phase == ExecutorState::Phase::starting) {
    tell_end(self, ErrorCode::executor_late, "");
    begin_stop(self);
  } else if (deadline == kStopDeadline) {
    log::warn("executor does not stop and is killed", {{"vm", state.spec.vm},
                                                       {"pool", state.spec.pool},
                                                       {"session", state.spec.session},
                                                       {"pid", state.process->pid()}});
    state.process->kill();
  }
}

void handle_exited(Self self, const std::string& how) {
  ExecutorState& state = self->state;
  log::debug("executor exited",
             {{"vm", state.spec.vm}, {"pool", state.spec.pool}, {"session", state.spec.session}, {"how", how}});
  tell_end(self, state.was_ready ? ErrorCode::executor_died : ErrorCode::executor_start, how);
  self->send(state.pool, closed_atom_v, state.spec.session);
  self->send(state.connection, exited_atom_v);
  state.process = nullptr;
  self->quit();
}

void start(Self self) {
  ExecutorState& state = self->state;
  // The process's handlers hold this actor until it is reaped.
  const executor_actor me = self;
  ExecutorProcess::Handlers handlers;
  handlers.event = [me](const ExecutorEvent& event) { caf::anon_send(me, event_atom_v, event); };
  handlers.link_closed = [me] { caf::anon_send(me, unlinked_atom_v); };
  handlers.exited = [me](std::string how) { caf::anon_send(me, exited_atom_v, std::move(how)); };
  std::string error;
  state.process = state.context->start_executor(state.spec, std::move(handlers), error);
  if (state.process == nullptr) {
    self->send(self, exited_atom_v, error);  // not handled here: an actor can't end before it has its behavior
    return;
  }
  log::debug("executor started", {{"vm", state.spec.vm},
                                  {"pool", state.spec.pool},
                                  {"session", state.spec.session},
                                  {"pid", state.process->pid()}});
  self->delayed_send(self, state.context->deadlines.executor_ready, overdue_atom_v, kReadyDeadline);
}

}  // namespace

executor_actor::behavior_type executor(Self self, ContextPtr context, ExecutorSpec spec, connection_actor connection,
                                       pool_scheduler_actor pool) {
  ExecutorState& state = self->state;
  state.context = std::move(context);
  state.spec = std::move(spec);
  state.connection = std::move(connection);
  state.pool = std::move(pool);
  self->monitor(state.connection);
  self->set_down_handler([self](const caf::down_msg&) { begin_stop(self); });
  start(self);
  return {
      [self](lease_atom, const LeaseOrder& order) { lease(self, order); },
      [self](overrun_atom) { end_at_once(self, ErrorCode::lease_overrun, ""); },
      [self](lost_atom, const std::string& how) { end_at_once(self, ErrorCode::gpu_lost, how); },
      [self](end_atom) { end_at_once(self, ErrorCode::killed, ""); },
      [self](watch_atom, std::uint32_t on, std::uint32_t off) { watch(self, on, off); },
      [self](event_atom, const ExecutorEvent& event) { handle_event(self, event); },
      [self](unlinked_atom) { begin_stop(self); },
      [self](exited_atom, const std::string& how) { handle_exited(self, how); },
      [self](overdue_atom, std::uint32_t deadline) { handle_overdue(self, deadline); },
      [self](stop_atom) { begin_stop(self); },
  };
}

}  // namespace vgpu::daemon
