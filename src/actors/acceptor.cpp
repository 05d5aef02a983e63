#include "actors/acceptor.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>

#include "common/log.hpp"

namespace vgpu::daemon {

Acceptor::Acceptor(asio::io_context& io, int listening, std::function<void(UniqueFd)> accepted)
    : socket_(io, ::dup(listening)), pause_(io), accepted_(std::move(accepted)) {
  wait();
}

void Acceptor::close() {
  asio::error_code ignored;
  socket_.close(ignored);
  pause_.cancel();
}

void Acceptor::wait() {
  socket_.async_wait(asio::posix::stream_descriptor::wait_read, [this](const asio::error_code& error) {
    if (!error && socket_.is_open()) accept_all();
  });
}

void Acceptor::accept_all() {
  for (;;) {
    UniqueFd connection(::accept4(socket_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (connection) {
      accepted_(std::move(connection));
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno == EAGAIN) return wait();
    // No descriptors or no memory: the peer stays in the queue, and is tried again when others may have gone.
    log::error("connections cannot be accepted", {{"error", std::strerror(errno)}});
    pause_.expires_after(std::chrono::milliseconds(200));
    pause_.async_wait([this](const asio::error_code& error) {
      if (!error && socket_.is_open()) accept_all();
    });
    return;
  }
}

}  // namespace vgpu::daemon
