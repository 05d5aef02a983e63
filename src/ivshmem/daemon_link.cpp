#include "ivshmem/daemon_link.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "common/log.hpp"

namespace vgpu::ivshmem {
namespace {

using std::chrono::milliseconds;
/// A daemon that comes back is noticed within this time.
constexpr milliseconds kPause{250};
/// Somebody has to change something before a refusal turns into a welcome.
constexpr milliseconds kPauseAfterRefusal{2000};

vgpu_vm_message message_of(vgpu_vm_message_type type) {
  vgpu_vm_message message{};
  message.magic = VGPU_VM_LINK_MAGIC;
  message.version = VGPU_VM_LINK_VERSION;
  message.type = type;
  message.bytes = sizeof message;
  return message;
}

}  // namespace

DaemonLink::DaemonLink(asio::io_context& io, std::filesystem::path daemon, std::uint32_t vm, Device& device)
    : daemon_(std::move(daemon)), vm_(vm), device_(device), socket_(io), timer_(io) {
  connect();
}

DaemonLink::~DaemonLink() {
  asio::error_code ignored;
  socket_.close(ignored);
  timer_.cancel();
}

void DaemonLink::connect() {
  asio::error_code error;
  socket_.connect(asio::local::stream_protocol::endpoint(daemon_.string()), error);
  if (error || !offer()) return lost(kPause);
  filled_ = 0;
  wait();
}

bool DaemonLink::offer() {
  vgpu_vm_message hello = message_of(VGPU_VM_HELLO);
  hello.u.hello.vm = vm_;
  hello.u.hello.channels = device_.channels();
  hello.u.hello.memory_bytes = device_.bytes();
  hello.u.hello.device = VGPU_VM_DEVICE_IVSHMEM;
  if (!send_with_fds(socket_.native_handle(), &hello, sizeof hello, {device_.memory_fd()})) return false;
  for (std::uint32_t i = 0; i < device_.channels(); ++i) {
    vgpu_vm_message channel = message_of(VGPU_VM_CHANNEL);
    channel.u.channel.index = i;
    if (!send_with_fds(socket_.native_handle(), &channel, sizeof channel,
                       {device_.doorbell_fd(i), device_.interrupt_fd(i)}))
      return false;
  }
  return true;
}

void DaemonLink::wait() {
  socket_.async_wait(asio::socket_base::wait_read,
                     [this, alive = std::weak_ptr(alive_)](const asio::error_code& error) {
                       if (!error && !alive.expired()) read();
                     });
}

void DaemonLink::read() {
  const ssize_t got = ::recv(socket_.native_handle(), reinterpret_cast<std::byte*>(&message_) + filled_,
                             sizeof message_ - filled_, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return wait();
  if (got <= 0) return lost(kPause);
  filled_ += static_cast<std::size_t>(got);
  if (filled_ < sizeof message_) return wait();
  filled_ = 0;
  if (message_.magic != VGPU_VM_LINK_MAGIC || message_.version >> 16 != VGPU_VM_LINK_VERSION >> 16) {
    log::error("what answers is no vgpud of this release", {{"vm", vm_}, {"daemon", daemon_.string()}});
    return lost(kPauseAfterRefusal);
  }
  if (message_.type == VGPU_VM_REFUSED) {
    message_.u.refused.text[sizeof message_.u.refused.text - 1] = '\0';
    if (refusal_ != message_.u.refused.text) {
      refusal_ = message_.u.refused.text;
      log::error("vgpud refuses the VM", {{"vm", vm_}, {"text", refusal_}});
    }
    return lost(kPauseAfterRefusal);
  }
  if (message_.type == VGPU_VM_READY) refusal_.clear();
  wait();
}

void DaemonLink::lost(milliseconds pause) {
  asio::error_code ignored;
  socket_.close(ignored);
  device_.set_absent();
  timer_.expires_after(pause);
  timer_.async_wait([this, alive = std::weak_ptr(alive_)](const asio::error_code& error) {
    if (!error && !alive.expired()) connect();
  });
}

}  // namespace vgpu::ivshmem
