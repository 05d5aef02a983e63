#include "actors/identity.hpp"

#include <cstring>

namespace vgpu::daemon {
namespace {

template <std::size_t N>
bool terminated(const std::array<char, N>& text) noexcept {
  return std::memchr(text.data(), '\0', N) != nullptr;
}

}  // namespace

std::variant<protocol::Hello, Refusal> check_hello(std::span<const std::byte> message) {
  using protocol::Hello;
  if (message.size() < sizeof(Hello))
    return Refusal{ErrorCode::hello_length, "got " + std::to_string(message.size()) + " bytes"};
  Hello hello;
  std::memcpy(&hello, message.data(), sizeof hello);
  if (hello.magic != VGPU_MAGIC) return Refusal{ErrorCode::hello_magic, {}};
  if (hello.version >> 16 != VGPU_VERSION_MAJOR)
    return Refusal{ErrorCode::hello_version,
                   "guest " + std::to_string(hello.version >> 16) + "." + std::to_string(hello.version & 0xffff) +
                       ", daemon " + std::to_string(VGPU_VERSION_MAJOR) + "." + std::to_string(VGPU_VERSION_MINOR)};
  if (hello.bytes != message.size())
    return Refusal{ErrorCode::hello_length,
                   "states " + std::to_string(hello.bytes) + " bytes, got " + std::to_string(message.size())};
  if (hello.zero != 0 || !terminated(hello.pool) || !terminated(hello.process))
    return Refusal{ErrorCode::hello_malformed, {}};
  return hello;
}

std::variant<Identity, Refusal> identify(const Config& config, const Peer& peer, uid_t own_uid,
                                         const protocol::Hello& hello) {
  const bool claimed = hello.vm != protocol::kNoVm;
  if (claimed && peer.uid != 0 && peer.uid != own_uid && peer.uid != config.qemu_user)
    return Refusal{ErrorCode::claim_denied,
                   "uid " + std::to_string(peer.uid) + " claims VM " + std::to_string(hello.vm)};
  Identity identity;
  identity.vm = claimed ? hello.vm : 0;
  if (const VmConfig* vm = claimed ? config.vm(hello.vm) : nullptr) {
    identity.pool = vm->pool;
    identity.registered = true;
    return identity;
  }
  if (!config.allow_unregistered) return Refusal{ErrorCode::unregistered, "VM " + std::to_string(identity.vm)};
  identity.pool = hello.pool[0] != '\0' ? hello.pool.data() : config.unregistered_pool;
  if (config.pool(identity.pool) == nullptr) return Refusal{ErrorCode::no_such_pool, "pool " + identity.pool};
  return identity;
}

std::variant<Identity, Refusal> identify_again(const Config& config, const Identity& known) {
  Identity identity = known;
  if (const VmConfig* vm = config.vm(known.vm)) {
    identity.pool = vm->pool;
    identity.registered = true;
    return identity;
  }
  if (!config.allow_unregistered) return Refusal{ErrorCode::unregistered, "VM " + std::to_string(known.vm)};
  identity.registered = false;
  return identity;
}

}  // namespace vgpu::daemon
