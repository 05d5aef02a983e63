#pragma once
#include <CLI/CLI.hpp>
#include <string>

namespace vgpu::ctl {

/// What `set` may change of a VM.
inline constexpr const char* kSettable =
    "weight priority memory-limit max-kernel-seconds sessions streams events modules graphs arena in-flight "
    "calls-per-second";

/// What the command line says.
struct Options {
  std::string socket;
  bool json = false;
  std::string verb;
  std::string vm, pool, key, value, session, level, shell;
  std::string sort = "share";
  bool once = false;
  bool end = false;
  double seconds = 5;
  double interval = 1;
};

/// Describes vgpuctl's verbs and options: what it accepts, and what its help, man page and completions say. The
/// description's end, which help does not print, is the man page's.
void describe(CLI::App& app, Options& options);

}  // namespace vgpu::ctl
