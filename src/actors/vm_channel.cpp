#include "actors/vm_channel.hpp"

#include <cstring>

namespace vgpu::daemon {

VmChannel::VmChannel(std::shared_ptr<VmMemory> memory, std::uint32_t channel, const VmMemory::Request& request,
                     Identity identity, Callbacks callbacks)
    : memory_(std::move(memory)),
      channel_(channel),
      peer_{request.hello.pid, request.uid, 0},
      process_(request.hello.process.data()),
      identity_(std::move(identity)),
      hello_(request.hello),
      callbacks_(std::move(callbacks)) {}

std::shared_ptr<SessionMemory> VmChannel::make_memory(std::uint64_t, std::uint32_t session, std::uint32_t,
                                                      std::uint64_t features, std::string& error) {
  return SessionMemory::create_in_vm(memory_, channel_, session, features, error);
}

void VmChannel::start(Handlers handlers) {
  std::vector<std::byte> message(sizeof hello_);
  std::memcpy(message.data(), &hello_, sizeof hello_);
  std::lock_guard lock(mutex_);
  handlers_ = std::move(handlers);
  handlers_.message(std::move(message));
  if (hung_up_) handlers_.hangup();
}

void VmChannel::welcome(const protocol::Welcome& welcome, std::shared_ptr<SessionMemory> memory) {
  {
    std::lock_guard lock(mutex_);
    open_ = memory != nullptr;
  }
  callbacks_.welcome(welcome);
}

void VmChannel::close() {
  std::lock_guard lock(mutex_);
  open_ = false;
  handlers_ = {};
}

bool VmChannel::ring(std::uint64_t rings) {
  std::lock_guard lock(mutex_);
  if (!open_ || !handlers_.doorbell) return false;
  handlers_.doorbell(rings);
  return true;
}

void VmChannel::hang_up() {
  std::lock_guard lock(mutex_);
  hung_up_ = true;
  if (handlers_.hangup) handlers_.hangup();
}

}  // namespace vgpu::daemon
