#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "common/paths.hpp"
#include "protocol/session.hpp"
#include "shim/carrier.hpp"
#include "shim/descriptor.hpp"

namespace vgpu::shim {
namespace {

using protocol::u32;
using protocol::u64;

/// How long the daemon may take to place a session and start its executor, and to say how things stand.
constexpr int kSessionTimeoutMs = 60'000;
constexpr int kStatusTimeoutMs = 10'000;

class UnixCarrier final : public Carrier {
 public:
  UnixCarrier(int socket, int region, int doorbell, u64 region_bytes) noexcept
      : socket_(socket), region_(region), doorbell_(doorbell), region_bytes_(region_bytes) {}

  int region_fd() const noexcept override { return region_.get(); }
  u64 region_bytes() const noexcept override { return region_bytes_; }

  void ring_doorbell() noexcept override {
    const u64 one = 1;
    // A full counter (EAGAIN) is a doorbell that rings already.
    while (::write(doorbell_.get(), &one, sizeof one) < 0 && errno == EINTR) {
    }
  }

  bool alive() noexcept override {
    pollfd events{socket_.get(), POLLIN | POLLRDHUP, 0};
    if (events.fd < 0) return false;
    if (::poll(&events, 1, 0) <= 0) return true;
    return (events.revents & (POLLHUP | POLLRDHUP | POLLERR | POLLNVAL)) == 0;
  }

  // Only the socket: a thread may be about to write to the doorbell, whose number could be another file's by then.
  void close() noexcept override {
    if (socket_.get() >= 0) ::shutdown(socket_.get(), SHUT_RDWR);
  }

  void abandon() noexcept override {
    socket_.reset();
    region_.reset();
    doorbell_.reset();
  }

 private:
  Descriptor socket_;
  Descriptor region_;
  Descriptor doorbell_;
  u64 region_bytes_;
};

/// VGPU_SOCKET, or the first place where a daemon's socket is, or where one is most likely to come.
std::string socket_path() {
  if (const char* path = std::getenv("VGPU_SOCKET"); path && *path) return path;
  const auto candidates = candidate_socket_paths();
  std::error_code ignored;
  for (const auto& path : candidates)
    if (std::filesystem::exists(path, ignored)) return path.string();
  return candidates.back().string();
}

template <std::size_t N>
void copy_text(std::array<char, N>& to, std::string_view from) noexcept {
  const std::size_t bytes = std::min(from.size(), N - 1);
  std::memcpy(to.data(), from.data(), bytes);
  to[bytes] = 0;
}

std::string program_name() {
  char name[64] = {};
  const int fd = ::open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  const ssize_t bytes = ::read(fd, name, sizeof name - 1);
  ::close(fd);
  std::string_view text(name, bytes > 0 ? static_cast<std::size_t>(bytes) : 0);
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  return std::string(text);
}

/// Fills in what the process claims to be. Empty, or what is wrong with the environment.
std::string fill_hello(protocol::Hello& hello, Purpose purpose) {
  hello.pid = ::getpid();
  hello.features = wanted_features(purpose);
  copy_text(hello.process, program_name());
  if (const char* vm = std::getenv("VGPU_VM_ID"); vm && *vm) {
    char* end = nullptr;
    errno = 0;
    const unsigned long id = std::strtoul(vm, &end, 10);
    if (errno != 0 || *end != 0 || id >= protocol::kNoVm) return std::string("VGPU_VM_ID=") + vm + " is no VM number";
    hello.vm = static_cast<u32>(id);
  }
  if (const char* pool = std::getenv("VGPU_POOL"); pool && *pool) {
    if (std::strlen(pool) >= hello.pool.size()) return std::string("VGPU_POOL=") + pool + " is too long";
    copy_text(hello.pool, pool);
  }
  return {};
}

/// One message and up to two descriptors. Returns the message's length, or -1 with errno.
ssize_t receive(int socket, void* data, std::size_t bytes, int (&fds)[2]) noexcept {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 2)] = {};
  iovec piece{data, bytes};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t received;
  do {
    received = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (received < 0 && errno == EINTR);
  if (received < 0) return received;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count && i < 2; ++i)
      std::memcpy(&fds[i], CMSG_DATA(part) + i * sizeof(int), sizeof(int));
  }
  return received;
}

Opened refused(std::string reason, CUresult result = CUDA_ERROR_NO_DEVICE) {
  return {nullptr, result, std::move(reason)};
}

}  // namespace

Opened open_unix_carrier(Purpose purpose) {
  const std::string path = socket_path();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return refused("the socket path " + path + " is too long");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);

  protocol::Hello hello;
  if (std::string wrong = fill_hello(hello, purpose); !wrong.empty()) return refused(std::move(wrong));

  Descriptor socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (socket.get() < 0) return refused(std::string("can't make a socket: ") + std::strerror(errno));
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return refused("no daemon at " + path + " (" + std::strerror(errno) +
                   "); start vgpud, or set VGPU_SOCKET to its socket");
  if (::send(socket.get(), &hello, sizeof hello, MSG_NOSIGNAL) != static_cast<ssize_t>(sizeof hello))
    return refused("the daemon at " + path + " took no message: " + std::strerror(errno));

  pollfd events{socket.get(), POLLIN, 0};
  int ready;
  do {
    ready = ::poll(&events, 1, purpose == Purpose::status ? kStatusTimeoutMs : kSessionTimeoutMs);
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) return refused("the daemon at " + path + " didn't answer in time; its log may say why");

  protocol::Welcome welcome;
  int fds[2] = {-1, -1};
  const ssize_t bytes = receive(socket.get(), &welcome, sizeof welcome, fds);
  Descriptor region(fds[0]);
  Descriptor doorbell(fds[1]);
  if (bytes < static_cast<ssize_t>(sizeof welcome) || welcome.magic != VGPU_MAGIC)
    return refused("the daemon at " + path + " closed the connection without an answer; its log may say why");
  welcome.text.back() = 0;
  if (welcome.result != 0)
    return refused("the daemon at " + path + " refused a session: " + welcome.text.data(),
                   static_cast<CUresult>(welcome.result));
  if (welcome.version >> 16 != VGPU_VERSION_MAJOR)
    return refused("the daemon at " + path +
                   " speaks another version of the protocol; install the same version of vgpu");
  if (region.get() < 0 || doorbell.get() < 0)
    return refused("the daemon at " + path + " sent no shared memory; its log may say why");
  struct stat file {};
  if (::fstat(region.get(), &file) != 0 || static_cast<u64>(file.st_size) < welcome.region_bytes)
    return refused("the shared memory that the daemon at " + path + " sent is too small");
  auto carrier = std::make_unique<UnixCarrier>(socket.take(), region.take(), doorbell.take(), welcome.region_bytes);
  return {std::move(carrier), CUDA_SUCCESS, {}};
}

}  // namespace vgpu::shim
