#include "actors/vm_link.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "actors/eventfd.hpp"
#include "common/descriptor_message.hpp"

namespace vgpu::daemon {
namespace {

using Message = vgpu_vm_message;

template <std::size_t N>
std::string text_of(const char (&text)[N]) {
  return std::string(text, ::strnlen(text, N));
}

class StreamVmLink final : public VmLink, public std::enable_shared_from_this<StreamVmLink> {
 public:
  StreamVmLink(asio::io_context& io, UniqueFd socket, const Peer& peer)
      : io_(io), socket_(io, socket.release()), peer_(peer) {}

  const Peer& peer() const noexcept override { return peer_; }

  void start(Handlers handlers) override {
    asio::post(io_, [self = shared_from_this(), handlers = std::move(handlers)]() mutable {
      self->handlers_ = std::move(handlers);
      self->wait_for_bytes();
    });
  }

  void ready(std::shared_ptr<VmMemory> memory) override {
    asio::post(io_, [self = shared_from_this(), memory = std::move(memory)] {
      if (!self->socket_.is_open()) return;
      self->send(VGPU_VM_READY, {});
      for (std::uint32_t channel = 0; channel < memory->channels(); ++channel) {
        asio::error_code error;
        auto& doorbell = self->doorbells_.emplace_back(std::make_unique<Doorbell>(self->io_));
        if (const int fd = ::dup(memory->doorbell_fd(channel)); fd >= 0) doorbell->descriptor.assign(fd, error);
        self->wait_for_doorbell(channel);
      }
    });
  }

  void refuse(const std::string& text) override {
    asio::post(io_, [self = shared_from_this(), text] {
      if (self->socket_.is_open()) self->send(VGPU_VM_REFUSED, text);
    });
  }

  void rearm_doorbell(std::uint32_t channel) override {
    asio::post(io_, [self = shared_from_this(), channel] { self->wait_for_doorbell(channel); });
  }

  void close() override {
    asio::post(io_, [self = shared_from_this()] {
      asio::error_code ignored;
      self->socket_.close(ignored);
      for (auto& doorbell : self->doorbells_) doorbell->descriptor.close(ignored);
      self->handlers_ = {};
    });
  }

 private:
  struct Doorbell {
    explicit Doorbell(asio::io_context& io) : descriptor(io) {}
    asio::posix::stream_descriptor descriptor;
    bool waiting = false;
  };

  void wait_for_bytes() {
    if (!socket_.is_open()) return;
    socket_.async_wait(asio::posix::stream_descriptor::wait_read,
                       [self = shared_from_this()](const asio::error_code& error) {
                         if (!error && self->socket_.is_open()) self->read_bytes();
                       });
  }

  /// Reads on towards one whole message, and no further: the descriptors that come belong to it.
  void read_bytes() {
    const ssize_t got =
        receive_with_descriptors(socket_.native_handle(), reinterpret_cast<std::byte*>(&message_) + filled_,
                                 sizeof message_ - filled_, fds_, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return wait_for_bytes();
    if (got <= 0) return hang_up({});
    if (fds_.size() > kMostFds) return hang_up("more descriptors came than belong to a message");
    filled_ += static_cast<std::size_t>(got);
    if (filled_ == sizeof message_) {
      filled_ = 0;
      const std::string wrong = handle_message();
      fds_.clear();
      if (!wrong.empty()) return hang_up(wrong);
    }
    wait_for_bytes();
  }

  /// Empty, or what is wrong with the message.
  std::string handle_message() {
    if (message_.magic != VGPU_VM_LINK_MAGIC || message_.bytes != sizeof message_)
      return "what came is no message of a vgpu device";
    if (message_.version >> 16 != VGPU_VM_LINK_VERSION >> 16)
      return "the device speaks another version of the protocol; install the same release in QEMU and vgpud";
    switch (message_.type) {
      case VGPU_VM_HELLO:
        return handle_hello();
      case VGPU_VM_CHANNEL:
        return handle_channel();
      case VGPU_VM_RESET:
        if (offer_ != nullptr || !offered_) return "a reset came before the last channel";
        if (handlers_.reset) handlers_.reset();
        return {};
      default:
        return "a message of unknown type " + std::to_string(message_.type) + " came";
    }
  }

  std::string handle_hello() {
    const auto& hello = message_.u.hello;
    if (offer_ != nullptr || offered_) return "a second HELLO came";
    if (fds_.size() != 1) return "a HELLO came without the memory's descriptor";
    if (hello.channels == 0 || hello.channels > VGPU_MAX_CHANNELS)
      return "a device with " + std::to_string(hello.channels) + " channels";
    offer_ = std::make_shared<VmOffer>();
    offer_->vm = hello.vm;
    offer_->memory_bytes = hello.memory_bytes;
    offer_->device = hello.device == VGPU_VM_DEVICE_IVSHMEM ? VGPU_VM_DEVICE_IVSHMEM : VGPU_VM_DEVICE_STUB;
    offer_->pool = text_of(hello.pool);
    offer_->name = text_of(hello.name);
    offer_->descriptors.memory = std::move(fds_[0]);
    channels_ = hello.channels;
    return {};
  }

  std::string handle_channel() {
    if (offer_ == nullptr) return "a CHANNEL came before the HELLO";
    auto& channels = offer_->descriptors.channels;
    if (message_.u.channel.index != channels.size() || fds_.size() != 2)
      return "channel " + std::to_string(message_.u.channel.index) + " came out of order or without its descriptors";
    channels.push_back({std::move(fds_[0]), std::move(fds_[1])});
    if (channels.size() < channels_) return {};
    offered_ = true;
    if (handlers_.offer) handlers_.offer(std::move(offer_));
    offer_ = nullptr;
    return {};
  }

  void hang_up(const std::string& wrong) {
    if (handlers_.hangup) handlers_.hangup(wrong);
  }

  void send(vgpu_vm_message_type type, std::string_view text) {
    Message message{};
    message.magic = VGPU_VM_LINK_MAGIC;
    message.version = VGPU_VM_LINK_VERSION;
    message.type = type;
    message.bytes = sizeof message;
    text.copy(message.u.refused.text, sizeof message.u.refused.text - 1);
    ssize_t sent = 0;
    do {
      sent = ::send(socket_.native_handle(), &message, sizeof message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    // Two messages at most are ever sent, and fit the socket's buffer: a failure means that the peer is gone.
    if (sent != sizeof message) hang_up({});
  }

  void wait_for_doorbell(std::uint32_t channel) {
    if (channel >= doorbells_.size()) return;
    Doorbell& doorbell = *doorbells_[channel];
    if (!doorbell.descriptor.is_open() || doorbell.waiting) return;
    doorbell.waiting = true;
    doorbell.descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                                   [self = shared_from_this(), channel, &doorbell](const asio::error_code& error) {
                                     doorbell.waiting = false;
                                     if (error || !doorbell.descriptor.is_open()) return;
                                     const auto rings = take_rings(doorbell.descriptor.native_handle());
                                     if (!rings) return self->wait_for_doorbell(channel);
                                     if (self->handlers_.doorbell) self->handlers_.doorbell(channel, *rings);
                                   });
  }

  static constexpr std::size_t kMostFds = 4;  ///< of one message

  asio::io_context& io_;
  asio::posix::stream_descriptor socket_;
  const Peer peer_;
  Handlers handlers_;
  Message message_{};
  std::size_t filled_ = 0;
  std::vector<UniqueFd> fds_;  ///< that came with the message under way
  std::uint32_t channels_ = 0;
  VmOfferPtr offer_;      ///< while channels are missing
  bool offered_ = false;  ///< handed over
  std::vector<std::unique_ptr<Doorbell>> doorbells_;
};

}  // namespace

VmLinkPtr make_vm_link(asio::io_context& io, UniqueFd socket) {
  ucred credentials{};
  socklen_t bytes = sizeof credentials;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &bytes) != 0) return nullptr;
  return std::make_shared<StreamVmLink>(io, std::move(socket), Peer{credentials.pid, credentials.uid, credentials.gid});
}

}  // namespace vgpu::daemon
