#include "executor/link.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/descriptor_message.hpp"

namespace vgpu::executor {
namespace {

Link::Received accept(protocol::ExecutorCommand& command, ssize_t bytes) noexcept {
  if (bytes != static_cast<ssize_t>(sizeof command)) return Link::Received::closed;
  command.pool.back() = '\0';
  command.driver_library.back() = '\0';
  return Link::Received::command;
}

}  // namespace

Link::~Link() {
  if (fd_ >= 0) close(fd_);
}

Link::Received Link::receive(protocol::ExecutorCommand& command) noexcept {
  ssize_t got = 0;
  do {
    got = recv(fd_, &command, sizeof command, 0);
  } while (got < 0 && errno == EINTR);
  return accept(command, got);
}

Link::Received Link::receive(protocol::ExecutorCommand& command, std::vector<UniqueFd>& descriptors) {
  return accept(command, receive_with_descriptors(fd_, &command, sizeof command, descriptors));
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
