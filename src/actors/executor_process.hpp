#pragma once
#include <string_view>

#include "actors/ports.hpp"

namespace asio {
class io_context;
}

namespace vgpu::daemon {

class ExecutorSandbox;

/// Starts spec.program as child_process.hpp says, with the walls that `sandbox` has found. It dies with the daemon.
/// Null: `error` says why. The exec itself may fail later; then the process exits with 127.
ExecutorProcessPtr start_executor_process(asio::io_context& io, const ExecutorSpec& spec,
                                          const ExecutorSandbox& sandbox, ExecutorProcess::Handlers handlers,
                                          std::string& error);

/// The environment of executors: the daemon's own without what would lead its libcuda astray (LD_PRELOAD, the shim's
/// folders in LD_LIBRARY_PATH, a guest's VGPU_SOCKET, VGPU_VM_ID and VGPU_POOL),
/// and with what the driver wants.
std::vector<std::string> executor_environment(const char* const* environment, const Driver& driver);

/// True for what a sandboxed executor has no use for: the daemon's environment may hold its operator's secrets.
bool not_for_executors(std::string_view entry);

/// How a process ended, for people: "exited with code 1", "killed by signal 9 (Killed)".
std::string exit_text(int code, int status);

}  // namespace vgpu::daemon
