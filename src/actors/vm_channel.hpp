#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "actors/ports.hpp"

namespace vgpu::daemon {

/// One process of a VM, as the connection actor sees any guest: the request in the channel's mailbox is its Hello, the
/// mailbox's answer its Welcome. Called by two actors: the VM's (ring, hang_up) and the guest's (the rest).
class VmChannel final : public GuestSocket {
 public:
  struct Callbacks {
    std::function<void(const protocol::Welcome&)> welcome;
    std::function<void()> rearm_doorbell;
  };
  VmChannel(std::shared_ptr<VmMemory> memory, std::uint32_t channel, const VmMemory::Request& request,
            Identity identity, Callbacks callbacks);

  const Peer& peer() const noexcept override { return peer_; }
  const std::string& process() const noexcept override { return process_; }
  std::optional<Identity> identity() const override { return identity_; }
  std::shared_ptr<SessionMemory> make_memory(std::uint64_t region_bytes, std::uint32_t session, std::uint32_t vm,
                                             std::uint64_t features, std::string& error) override;
  void start(Handlers handlers) override;
  void welcome(const protocol::Welcome& welcome, std::shared_ptr<SessionMemory> memory) override;
  void rearm_doorbell() override { callbacks_.rearm_doorbell(); }
  void close() override;

  /// The channel's doorbell rang. False: nobody listens to it, so that it is the caller's to rearm.
  bool ring(std::uint64_t rings);
  /// The guest asked for the session's end, or the VM is gone. Before start(), it is told to the handlers then.
  void hang_up();

 private:
  const std::shared_ptr<VmMemory> memory_;
  const std::uint32_t channel_;
  const Peer peer_;  ///< process and user as the guest's kernel numbers them
  const std::string process_;
  const Identity identity_;
  const protocol::Hello hello_;
  const Callbacks callbacks_;
  std::mutex mutex_;
  Handlers handlers_;
  bool open_ = false;
  bool hung_up_ = false;
};

}  // namespace vgpu::daemon
