#pragma once
#include <vector>

#include "common/unique_fd.hpp"
#include "protocol/executor_link.hpp"

namespace vgpu::executor {

/// The message socket to the daemon.
class Link {
 public:
  /// Takes `fd` over.
  explicit Link(int fd) noexcept : fd_(fd) {}
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  enum class Received { command, closed };
  /// Waits for the next command. closed: the daemon is gone, or sent something that is none. One thread.
  Received receive(protocol::ExecutorCommand& command) noexcept;
  /// The same; descriptors that come with it are added.
  Received receive(protocol::ExecutorCommand& command, std::vector<UniqueFd>& descriptors);

  /// Sends one event; lost if the daemon is gone. Any thread.
  void send(const protocol::ExecutorEvent& event) noexcept;

  /// Makes receive() return closed, now and later. Any thread.
  void shut() noexcept;

 private:
  int fd_;
};

/// Copies as much of `text` as fits, NUL-terminated.
void set_text(protocol::ExecutorEvent& event, std::string_view text) noexcept;

}  // namespace vgpu::executor
