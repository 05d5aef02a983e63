#include "actors/guest_socket.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "actors/eventfd.hpp"
#include "common/descriptor_message.hpp"

namespace vgpu::daemon {
namespace {

/// A Hello is 128 bytes; later versions may add to it, within reason.
constexpr std::size_t kLongestMessage = 4096;

std::string program_name(pid_t pid) {
  std::ifstream stream("/proc/" + std::to_string(pid) + "/comm");
  std::string name;
  std::getline(stream, name);
  return name;
}

class SeqpacketGuestSocket final : public GuestSocket, public std::enable_shared_from_this<SeqpacketGuestSocket> {
 public:
  SeqpacketGuestSocket(asio::io_context& io, UniqueFd socket, const Peer& peer)
      : io_(io), socket_(io, socket.release()), doorbell_(io), peer_(peer), process_(program_name(peer.pid)) {}

  const Peer& peer() const noexcept override { return peer_; }
  const std::string& process() const noexcept override { return process_; }

  void start(Handlers handlers) override {
    asio::post(io_, [self = shared_from_this(), handlers = std::move(handlers)]() mutable {
      self->handlers_ = std::move(handlers);
      self->wait_for_message();
    });
  }

  void welcome(const protocol::Welcome& welcome, std::shared_ptr<SessionMemory> memory) override {
    asio::post(io_, [self = shared_from_this(), welcome, memory = std::move(memory)] {
      if (!self->socket_.is_open()) return;
      self->send(welcome, memory.get());
      if (memory == nullptr) return;
      asio::error_code error;
      if (const int fd = ::dup(memory->doorbell_fd()); fd >= 0) self->doorbell_.assign(fd, error);
      self->wait_for_doorbell();
    });
  }

  void rearm_doorbell() override {
    asio::post(io_, [self = shared_from_this()] { self->wait_for_doorbell(); });
  }

  void close() override {
    asio::post(io_, [self = shared_from_this()] {
      asio::error_code ignored;
      self->socket_.close(ignored);
      self->doorbell_.close(ignored);
      self->handlers_ = {};
    });
  }

 private:
  void wait_for_message() {
    if (!socket_.is_open()) return;
    socket_.async_wait(asio::posix::stream_descriptor::wait_read,
                       [self = shared_from_this()](const asio::error_code& error) {
                         if (!error) self->read_message();
                       });
  }

  void read_message() {
    if (!socket_.is_open()) return;
    std::vector<std::byte> message(kLongestMessage);
    // MSG_TRUNC: the true length comes back even where it did not fit. Descriptors that the guest sends are dropped by
    // the kernel, because there is no room for them.
    const ssize_t got = ::recv(socket_.native_handle(), message.data(), message.size(), MSG_DONTWAIT | MSG_TRUNC);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return wait_for_message();
    if (got <= 0) {
      if (handlers_.hangup) handlers_.hangup();
      return;
    }
    if (static_cast<std::size_t>(got) > kLongestMessage)
      message.clear();  // longer than any Hello: refused for its length
    else
      message.resize(static_cast<std::size_t>(got));
    if (handlers_.message) handlers_.message(std::move(message));
    // A second message ends the session; nobody needs a third.
    if (++messages_ < 2) wait_for_message();
  }

  void send(const protocol::Welcome& welcome, const SessionMemory* memory) {
    std::vector<int> descriptors;
    if (memory != nullptr) descriptors = {memory->region_fd(), memory->doorbell_fd()};
    const ssize_t sent =
        send_with_descriptors(socket_.native_handle(), &welcome, sizeof welcome, descriptors, MSG_DONTWAIT);
    // The socket's buffer is empty before its only message, so a failure means that the peer is gone.
    if (sent < 0 && handlers_.hangup) handlers_.hangup();
  }

  void wait_for_doorbell() {
    if (!doorbell_.is_open()) return;
    doorbell_.async_wait(asio::posix::stream_descriptor::wait_read,
                         [self = shared_from_this()](const asio::error_code& error) {
                           if (error || !self->doorbell_.is_open()) return;
                           const auto rings = take_rings(self->doorbell_.native_handle());
                           if (!rings) return self->wait_for_doorbell();
                           if (self->handlers_.doorbell) self->handlers_.doorbell(*rings);
                         });
  }

  asio::io_context& io_;
  asio::posix::stream_descriptor socket_;
  asio::posix::stream_descriptor doorbell_;
  const Peer peer_;
  const std::string process_;
  Handlers handlers_;
  int messages_ = 0;
};

}  // namespace

GuestSocketPtr make_guest_socket(asio::io_context& io, UniqueFd socket) {
  ucred credentials{};
  socklen_t bytes = sizeof credentials;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &bytes) != 0) return nullptr;
  return std::make_shared<SeqpacketGuestSocket>(io, std::move(socket),
                                                Peer{credentials.pid, credentials.uid, credentials.gid});
}

}  // namespace vgpu::daemon
