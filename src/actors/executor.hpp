#pragma once
#include "actors/context.hpp"
#include "actors/interfaces.hpp"

namespace vgpu::daemon {

/// The only owner of one vgpu-executor process: starts it, passes leases to it and its words on, and ends it. Lives
/// until the process is reaped.
struct ExecutorState {
  static inline const char* name = "executor";

  enum class Phase { starting, running, stopping };

  ContextPtr context;
  ExecutorSpec spec;
  connection_actor connection;
  pool_scheduler_actor pool;
  ExecutorProcessPtr process;
  Phase phase = Phase::starting;
  bool was_ready = false;
  bool told_end = false;  ///< the connection has heard why the session ended

  /// An actor that fails leaves no process behind.
  ~ExecutorState() {
    if (process != nullptr) process->abandon();
  }
};

executor_actor::behavior_type executor(executor_actor::stateful_pointer<ExecutorState> self, ContextPtr context,
                                       ExecutorSpec spec, connection_actor connection, pool_scheduler_actor pool);

}  // namespace vgpu::daemon
