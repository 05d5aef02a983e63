#pragma once
#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/unique_fd.hpp"

namespace vgpu::bench {

/// A child process with its standard input and output at our end of pipes. Killed and reaped at the latest when this
/// object goes.
class Child {
 public:
  using Environment = std::vector<std::pair<std::string, std::string>>;

  /// Starts command[0] with `changes` over our own environment. errors: file for its standard error, empty: ours.
  explicit Child(const std::vector<std::string>& command, const Environment& changes = {},
                 const std::filesystem::path& errors = {});
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child();

  pid_t pid() const noexcept { return pid_; }
  /// The next line of its output, without its end; false at the end of the output.
  bool read_line(std::string& line);
  void close_input() noexcept { input_.reset(); }
  void terminate() noexcept;
  bool running() noexcept;
  /// Waits for its end; the exit code, or 128 + signal.
  int wait() noexcept;

 private:
  pid_t pid_ = -1;
  int status_ = -1;
  UniqueFd input_;
  UniqueFd output_;
  std::string buffer_;
};

/// CPU time of a live process in seconds, user and system, all threads (/proc/PID/stat).
double cpu_seconds(pid_t pid);
/// Live children of `pid`.
std::vector<pid_t> children_of(pid_t pid);

/// A vgpud of our own on a socket in a temporary folder.
class Daemon {
 public:
  Daemon(const std::filesystem::path& program, const std::string& gpu);
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  ~Daemon();
  const std::filesystem::path& socket() const noexcept { return socket_; }
  pid_t pid() const noexcept { return child_->pid(); }

 private:
  std::filesystem::path folder_;
  std::filesystem::path socket_;
  std::unique_ptr<Child> child_;
};

}  // namespace vgpu::bench
