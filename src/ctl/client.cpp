#include "ctl/client.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "common/paths.hpp"
#include "common/unix_address.hpp"

namespace vgpu::ctl {
namespace fs = std::filesystem;
namespace {

using Clock = std::chrono::steady_clock;

/// 0, or the errno of the connection.
int connect_to(const fs::path& path, UniqueFd& socket) {
  const auto address = unix_address(path.native());
  if (!address) return ENAMETOOLONG;
  socket.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return errno;
  return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) == 0 ? 0 : errno;
}

/// The kernel has refused, so vgpud saw nothing: this machine's log is told instead, as su and sudo do.
void log_denied(const fs::path& path) {
  ::openlog("vgpuctl", LOG_PID, LOG_AUTHPRIV);
  ::syslog(LOG_NOTICE, "uid %u may not connect to %s", static_cast<unsigned>(::getuid()), path.c_str());
  ::closelog();
}

}  // namespace

std::vector<fs::path> admin_sockets() {
  if (const char* named = std::getenv("VGPU_ADMIN_SOCKET"); named != nullptr && named[0] != '\0') return {named};
  std::vector<fs::path> sockets;
  for (const fs::path& path : candidate_socket_paths())
    sockets.push_back(path.parent_path() / (path.stem().string() + "-admin.sock"));
  return sockets;
}

std::optional<Client> Client::connect(const fs::path& socket, Failure& failure) {
  std::string tried;
  for (const fs::path& path : socket.empty() ? admin_sockets() : std::vector<fs::path>{socket}) {
    UniqueFd connection;
    const int error = connect_to(path, connection);
    if (error == 0) return Client(std::move(connection));
    if (error == EACCES || error == EPERM) {
      log_denied(path);
      failure = {kNotPermitted, "you may not connect to " + path.string() +
                                    ": only root, vgpud's own user and members of its admin group (vgpu-admin) may; "
                                    "an administrator of this host can add you to it"};
      return std::nullopt;
    }
    tried += "\n  " + path.string() + ": " + std::strerror(error);
  }
  failure = {kUnreachable, "no vgpud answers; start it, or name its admin socket with --socket:" + tried};
  return std::nullopt;
}

std::optional<std::string> Client::line(std::optional<std::chrono::milliseconds> patience, Failure& failure) {
  const auto deadline = Clock::now() + patience.value_or(std::chrono::milliseconds(0));
  for (;;) {
    if (const std::size_t end = read_.find('\n'); end != std::string::npos) {
      std::string text = read_.substr(0, end);
      read_.erase(0, end + 1);
      return text;
    }
    pollfd readable{socket_.get(), POLLIN, 0};
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    const int ready = ::poll(&readable, 1, patience ? static_cast<int>(std::max<std::int64_t>(left, 0)) : -1);
    if (ready == 0) {
      failure = {kUnreachable, "vgpud does not answer; its log may say why"};
      return std::nullopt;
    }
    std::array<char, 16384> piece;
    const ssize_t got = ready < 0 ? -1 : ::recv(socket_.get(), piece.data(), piece.size(), 0);
    if (got > 0) {
      read_.append(piece.data(), static_cast<std::size_t>(got));
    } else if (got == 0 || errno != EINTR) {
      failure = {kUnreachable, "vgpud has closed the connection: it ended, or dropped this client; its log says why"};
      return std::nullopt;
    }
  }
}

std::optional<Json> Client::ask(const Json& request, Failure& failure, std::chrono::milliseconds patience) {
  const std::string text = request.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  // An error here is an end of the connection, and vgpud may have said why before it.
  [[maybe_unused]] const ssize_t sent = ::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL);
  const auto answer = line(patience, failure);
  if (!answer) return std::nullopt;
  Json json = Json::parse(*answer, nullptr, false);
  if (!json.is_discarded() && json.is_object()) return json;
  failure = {kUnreachable, "what answers on this socket is no vgpud"};
  return std::nullopt;
}

std::optional<Json> Client::next(Failure& failure) {
  const auto text = line(std::nullopt, failure);
  if (!text) return std::nullopt;
  Json json = Json::parse(*text, nullptr, false);
  return json.is_discarded() ? Json::object() : json;
}

std::optional<Failure> refusal(const Json& answer) {
  if (answer.value("ok", false)) return std::nullopt;
  const std::string code = answer.value("code", "");
  return Failure{code == "not_permitted" ? kNotPermitted : kRefused, answer.value("error", "vgpud refused")};
}

}  // namespace vgpu::ctl
