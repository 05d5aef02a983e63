#include "actors/acceptor.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>

#include "actors/guest_socket.hpp"
#include "common/log.hpp"

namespace vgpu::daemon {

Acceptor::Acceptor(asio::io_context& io, int listening, std::function<void(GuestSocketPtr)> accepted)
    : io_(io), socket_(io, ::dup(listening)), pause_(io), accepted_(std::move(accepted)) {
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
    UniqueFd guest(::accept4(socket_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (guest) {
      if (auto socket = make_guest_socket(io_, std::move(guest))) accepted_(std::move(socket));
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno == EAGAIN) return wait();
    // No descriptors or no memory: the guest stays in the queue, and is tried again when others may have gone.
    log::error("guests cannot be accepted", {{"error", std::strerror(errno)}});
    pause_.expires_after(std::chrono::milliseconds(200));
    pause_.async_wait([this](const asio::error_code& error) {
      if (!error && socket_.is_open()) accept_all();
    });
    return;
  }
}

}  // namespace vgpu::daemon
