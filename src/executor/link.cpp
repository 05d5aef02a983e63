#include "executor/link.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace vgpu::executor {

Link::~Link() {
  if (fd_ >= 0) close(fd_);
}

Link::Received Link::receive(protocol::ExecutorCommand& command) noexcept {
  for (;;) {
    const ssize_t got = recv(fd_, &command, sizeof command, 0);
    if (got == static_cast<ssize_t>(sizeof command)) {
      command.pool.back() = '\0';
      command.driver_library.back() = '\0';
      return Received::command;
    }
    if (got < 0 && errno == EINTR) continue;
    return Received::closed;
  }
}

void Link::send(const protocol::ExecutorEvent& event) noexcept {
  while (::send(fd_, &event, sizeof event, MSG_NOSIGNAL) < 0 && errno == EINTR) {
  }
}

void Link::shut() noexcept { shutdown(fd_, SHUT_RDWR); }

void set_text(protocol::ExecutorEvent& event, std::string_view text) noexcept {
  const std::size_t bytes = std::min(text.size(), event.text.size() - 1);
  std::memcpy(event.text.data(), text.data(), bytes);
  event.text[bytes] = '\0';
}

}  // namespace vgpu::executor
