#pragma once
#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace vgpu::test {

/// Waits until `condition` holds; false if it does not within `limit`.
bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds limit = std::chrono::seconds(10));

/// A running vgpud with a folder, a socket and a port of its own, and the fake executor.
class Daemon {
 public:
  /// `config`: more lines of TOML. Pools: A, B, and those that make the fake executor misbehave.
  explicit Daemon(const std::string& config = "", const std::string& log_level = "info");
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  std::string socket() const { return (folder_ / "s").string(); }
  std::string config() const { return (folder_ / "vgpud.toml").string(); }
  pid_t pid() const noexcept { return pid_; }
  std::string log() const;
  std::size_t log_lines(const std::string& part) const;
  std::vector<pid_t> executors() const;
  /// An HTTP GET of `path`: the whole answer.
  std::string http(const std::string& path) const;
  /// Sum of all series of a metric whose line holds `labels`.
  double metric(const std::string& name, const std::string& labels = "") const;
  /// CPU time used so far.
  std::chrono::milliseconds cpu_time() const;
  /// Sends a signal and waits; the exit code, or -1 if it did not end in time.
  int stop(int signal, std::chrono::milliseconds limit = std::chrono::seconds(6));

 private:
  std::filesystem::path folder_;
  pid_t pid_ = -1;
  int port_ = 0;
};

/// Runs a command with its output in `output`; its exit code.
int run_command(const std::vector<std::string>& command, std::string& output);

bool process_exists(pid_t pid);

}  // namespace vgpu::test
