#pragma once
#include <string_view>

#include "actors/ports.hpp"

namespace asio {
class io_context;
}

namespace vgpu::daemon {

class ExecutorSandbox;

/// What an executor needs before it has a session.
struct ExecutorLaunch {
  std::filesystem::path program;
  Driver driver;
  bool log_json = false;
  std::shared_ptr<const UniqueFd> images;  ///< that its mount view must have; null: none
};

/// An executor that waits for its session, or that has one.
class PreparedExecutor : public ExecutorProcess {
 public:
  /// Gives it its session, and its words to these handlers from now on. Once. If the process is gone by then, it was
  /// the session's: `exited` is called.
  virtual void begin(const ExecutorSpec& spec, Handlers handlers) = 0;
};
using PreparedExecutorPtr = std::shared_ptr<PreparedExecutor>;

/// Starts launch.program as child_process.hpp says, with the walls that `sandbox` has found, and lets it initialize its
/// driver. It dies with the daemon. Null: `error` says why. The exec itself may fail later; then the process exits with
/// 127. The handlers hear of it until it has a session.
PreparedExecutorPtr launch_executor(asio::io_context& io, const ExecutorLaunch& launch, const ExecutorSandbox& sandbox,
                                    ExecutorProcess::Handlers handlers, std::string& error);

/// The same for one that has a session from the start.
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
