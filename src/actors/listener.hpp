#pragma once
#include <functional>
#include <map>

#include "actors/context.hpp"
#include "actors/interfaces.hpp"

namespace vgpu::daemon {

/// Takes guests in, one actor for each process outside a VM and for each VM, and holds on to those actors until they
/// end. When told to stop it refuses newcomers, stops every connection, and calls `stopped` after the last one is gone.
struct ListenerState {
  static inline const char* name = "listener";

  ContextPtr context;
  std::function<void()> stopped;
  std::map<caf::actor_addr, connection_actor> connections;
  std::map<caf::actor_addr, vm_connection_actor> vms;

  /// Which of `vms` is a VM. The next one waits until nothing of the host uses the VM's memory any more.
  struct Claim {
    caf::actor_addr owner;
    bool ending = false;
    caf::actor_addr next;
    caf::typed_response_promise<bool> promise;  ///< to `next`
  };
  std::map<std::uint32_t, Claim> claims;  ///< by VM id
  bool stopping = false;
};

/// `stopped` is called on an actor's thread, once.
listener_actor::behavior_type listener(listener_actor::stateful_pointer<ListenerState> self, ContextPtr context,
                                       std::function<void()> stopped);

}  // namespace vgpu::daemon
