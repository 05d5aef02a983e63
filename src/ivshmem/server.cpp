#include "ivshmem/server.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "common/log.hpp"

namespace vgpu::ivshmem {
namespace {

constexpr std::chrono::milliseconds kLockPause{250};

/// One message of QEMU's ivshmem protocol: a number, perhaps with a descriptor.
bool send_number(int socket, std::int64_t number, int fd = -1) {
  return send_with_fds(socket, &number, sizeof number, fd >= 0 ? std::vector<int>{fd} : std::vector<int>{});
}

}  // namespace

/// A VM that runs. What its QEMU holds goes with its QEMU.
struct Server::Vm {
  explicit Vm(asio::local::stream_protocol::socket socket) : qemu(std::move(socket)) {}
  asio::local::stream_protocol::socket qemu;
  std::unique_ptr<Device> device;
  std::unique_ptr<DaemonLink> link;
};

Server::Server(asio::io_context& io, Options options)
    : io_(io), options_(std::move(options)), acceptor_(io), lifeline_(io), timer_(io) {
  if (options_.lifeline >= 0) {
    lifeline_.assign(options_.lifeline);
    watch_lifeline();
  }
  listen();
}

Server::~Server() = default;

void Server::listen() {
  std::string error;
  file_ = SocketFile::open(options_.socket, SOCK_STREAM, options_.socket_mode, error, options_.socket_group);
  if (file_ != nullptr) {
    acceptor_.assign(asio::local::stream_protocol(), ::dup(file_->fd()));
    return accept();
  }
  if (said_ != error) log::warn("waiting for the ivshmem socket", {{"vm", options_.vm}, {"reason", error}});
  said_ = error;
  timer_.expires_after(kLockPause);
  timer_.async_wait([this](const asio::error_code& failure) {
    if (!failure) listen();
  });
}

void Server::accept() {
  acceptor_.async_accept([this](const asio::error_code& error, asio::local::stream_protocol::socket qemu) {
    if (error == asio::error::operation_aborted) return;
    if (!error) take(std::move(qemu));
    accept();
  });
}

void Server::take(asio::local::stream_protocol::socket qemu) {
  if (vm_ != nullptr) {
    log::warn("a second QEMU is refused: one is connected already", {{"vm", options_.vm}});
    return;
  }
  auto vm = std::make_unique<Vm>(std::move(qemu));
  std::string error;
  vm->device = Device::create(options_.memory_bytes, options_.channels, error);
  if (vm->device == nullptr) {
    log::error("a VM cannot be served", {{"vm", options_.vm}, {"reason", error}});
    return;
  }
  if (!set_up(*vm)) {
    log::warn("QEMU went away while it was set up", {{"vm", options_.vm}});
    return;
  }
  vm->link = std::make_unique<DaemonLink>(io_, options_.daemon, options_.vm, *vm->device);
  vm_ = std::move(vm);
  watch_qemu();
}

/// The guest is peer 0 and the daemon peer 1; a peer's vectors are what others ring it by.
bool Server::set_up(Vm& vm) {
  const int socket = vm.qemu.native_handle();
  const Device& device = *vm.device;
  bool good = send_number(socket, 0) && send_number(socket, VGPU_IVSHMEM_GUEST_PEER) &&
              send_number(socket, -1, device.memory_fd());
  for (std::uint32_t i = 0; good && i < device.channels(); ++i)
    good = send_number(socket, VGPU_IVSHMEM_DAEMON_PEER, device.doorbell_fd(i));
  for (std::uint32_t i = 0; good && i < device.channels(); ++i)
    good = send_number(socket, VGPU_IVSHMEM_GUEST_PEER, device.interrupt_fd(i));
  return good;
}

void Server::watch_qemu() {
  vm_->qemu.async_wait(asio::socket_base::wait_read, [this](const asio::error_code& error) {
    if (error == asio::error::operation_aborted || vm_ == nullptr) return;
    std::array<char, 64> nothing;
    const ssize_t got = ::recv(vm_->qemu.native_handle(), nothing.data(), nothing.size(), MSG_DONTWAIT);
    if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR))) return watch_qemu();
    vm_.reset();
    end_if_needless();
  });
}

void Server::watch_lifeline() {
  lifeline_.async_wait(asio::posix::stream_descriptor::wait_read, [this](const asio::error_code& error) {
    if (error == asio::error::operation_aborted) return;
    alone_ = true;
    end_if_needless();
  });
}

void Server::end_if_needless() {
  if (alone_ && vm_ == nullptr) io_.stop();
}

}  // namespace vgpu::ivshmem
