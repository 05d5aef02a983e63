#include "actors/admin_socket.hpp"

#include <sys/socket.h>

#include <array>
#include <asio/buffer.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/post.hpp>
#include <asio/write.hpp>
#include <cerrno>
#include <deque>

#include "common/log.hpp"

namespace vgpu::daemon {
namespace {

constexpr std::size_t kLongestLine = 64 << 10;
constexpr std::size_t kMostWaiting = 4 << 20;

class StreamAdminClient final : public AdminClient, public std::enable_shared_from_this<StreamAdminClient> {
 public:
  StreamAdminClient(asio::io_context& io, UniqueFd socket, const Peer& peer, std::vector<gid_t> groups)
      : io_(io),
        socket_(io, asio::local::stream_protocol(), socket.release()),
        peer_(peer),
        groups_(std::move(groups)) {}

  const Peer& peer() const noexcept override { return peer_; }
  const std::vector<gid_t>& groups() const noexcept override { return groups_; }

  void start(Handlers handlers) override {
    asio::post(io_, [self = shared_from_this(), handlers = std::move(handlers)]() mutable {
      self->handlers_ = std::move(handlers);
      self->wanted_ = true;
      self->look();
    });
  }

  void next() override {
    asio::post(io_, [self = shared_from_this()] {
      self->wanted_ = true;
      self->look();
    });
  }

  void send(std::string line) override {
    asio::post(io_, [self = shared_from_this(), line = std::move(line)]() mutable {
      if (!self->socket_.is_open() || self->closing_) return;
      line += '\n';
      self->waiting_bytes_ += line.size();
      self->waiting_.push_back(std::move(line));
      if (self->waiting_bytes_ > kMostWaiting) return self->drop("it does not read what it asked for");
      if (self->waiting_.size() == 1) self->write();
    });
  }

  void close() override {
    asio::post(io_, [self = shared_from_this()] {
      self->handlers_ = {};
      self->closing_ = true;
      if (self->waiting_.empty()) self->shut();
    });
  }

 private:
  /// Hands over a line that is there and wanted, or reads on.
  void look() {
    if (!socket_.is_open() || closing_) return;
    if (wanted_) {
      if (const std::size_t end = read_.find('\n'); end != std::string::npos) {
        wanted_ = false;
        std::string line = read_.substr(0, end);
        read_.erase(0, end + 1);
        if (handlers_.line) handlers_.line(std::move(line));
      }
    }
    if (read_.size() > kLongestLine) return drop("a line is too long");
    read();
  }

  /// Also while no line is wanted: else nobody would notice that the client goes.
  void read() {
    if (reading_) return;
    reading_ = true;
    socket_.async_read_some(asio::buffer(piece_),
                            [self = shared_from_this()](const asio::error_code& error, std::size_t bytes) {
                              self->reading_ = false;
                              if (!self->socket_.is_open() || self->closing_) return;
                              if (error) return self->hang_up();
                              self->read_.append(self->piece_.data(), bytes);
                              self->look();
                            });
  }

  void write() {
    asio::async_write(socket_, asio::buffer(waiting_.front()),
                      [self = shared_from_this()](const asio::error_code& error, std::size_t) {
                        if (!self->socket_.is_open()) return;
                        if (error) return self->hang_up();
                        self->waiting_bytes_ -= self->waiting_.front().size();
                        self->waiting_.pop_front();
                        if (!self->waiting_.empty()) return self->write();
                        if (self->closing_) self->shut();
                      });
  }

  void drop(const char* why) {
    log::warn("an admin client is dropped", {{"pid", peer_.pid}, {"uid", peer_.uid}, {"reason", why}});
    hang_up();
  }

  void hang_up() {
    shut();
    const Handlers handlers = std::exchange(handlers_, {});
    if (handlers.hangup) handlers.hangup();
  }

  void shut() {
    asio::error_code ignored;
    socket_.close(ignored);
  }

  asio::io_context& io_;
  asio::local::stream_protocol::socket socket_;
  const Peer peer_;
  const std::vector<gid_t> groups_;
  Handlers handlers_;
  std::array<char, 4096> piece_{};
  std::string read_;
  std::deque<std::string> waiting_;
  std::size_t waiting_bytes_ = 0;
  bool wanted_ = false;
  bool reading_ = false;
  bool closing_ = false;
};

/// All groups of the process that connected, as they were then.
std::vector<gid_t> peer_groups(int socket) {
  std::vector<gid_t> groups(64);
  for (int attempt = 0; attempt < 2; ++attempt) {
    socklen_t bytes = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    const int result = ::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &bytes);
    groups.resize(bytes / sizeof(gid_t));
    if (result == 0) return groups;
    if (errno != ERANGE) break;
  }
  return {};
}

}  // namespace

AdminClientPtr make_admin_client(asio::io_context& io, UniqueFd socket) {
  ucred credentials{};
  socklen_t bytes = sizeof credentials;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &bytes) != 0) return nullptr;
  std::vector<gid_t> groups = peer_groups(socket.get());
  groups.push_back(credentials.gid);
  return std::make_shared<StreamAdminClient>(
      io, std::move(socket), Peer{credentials.pid, credentials.uid, credentials.gid}, std::move(groups));
}

}  // namespace vgpu::daemon
