#pragma once
#include "actors/config.hpp"

namespace vgpu::daemon {

/// Starts everything that `config` asks for, serves guests until SIGTERM or SIGINT, and ends cleanly: no process,
/// socket or shared memory stays. Returns the program's exit code: 0 after a clean end, 1 if something could not be
/// started or did not end in time; the log says what.
int run_daemon(const Config& config);

}  // namespace vgpu::daemon
