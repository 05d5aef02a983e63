#pragma once
#include "actors/live_config.hpp"

namespace vgpu::daemon {

/// Starts everything that `config` asks for, serves guests until SIGTERM or SIGINT, and ends cleanly: no process,
/// socket or shared memory stays. SIGHUP makes it `read_again`; what comes of it is applied whole or, with a mistake or
/// a change that a running daemon can't make, not at all. Returns the program's exit code: 0 after a clean end, 1 if
/// something could not be started or did not end in time; the log says what.
int run_daemon(const Config& config, ReadConfig read_again);

}  // namespace vgpu::daemon
