#pragma once
#include <map>
#include <optional>
#include <vector>

#include "actors/context.hpp"
#include "actors/interfaces.hpp"
#include "actors/vm_channel.hpp"

namespace vgpu::daemon {

/// One virtual machine, from the connection of its QEMU to that connection's end. It reads the channels' mailboxes and
/// runs a connection actor for each process that has a channel open; that actor's life is the session's, and when it
/// has ended nobody on the host uses the channel any more: only then is a close answered, or the channel opened anew.
struct VmConnectionState {
  static inline const char* name = "vm_connection";

  enum class Phase {
    greeting,   ///< waits for the device's offer
    claiming,   ///< asks the listener whether the VM is connected already
    ready,      ///< serves mailboxes
    resetting,  ///< waits for all sessions to go, then is ready again
    ending,     ///< waits for all sessions to go, then ends
  };

  struct Channel {
    std::shared_ptr<VmChannel> guest;          ///< while a session is there
    connection_actor connection;               ///< the same
    std::optional<VmMemory::Request> waiting;  ///< the newest request, for when the session is gone
  };

  ContextPtr context;
  VmLinkPtr link;
  listener_actor listening;
  Phase phase = Phase::greeting;
  VmOfferPtr offer;  ///< without its descriptors
  Identity identity;
  std::shared_ptr<VmMemory> memory;
  std::vector<Channel> channels;
  std::uint64_t resets = 0;
};

vm_connection_actor::behavior_type vm_connection(vm_connection_actor::stateful_pointer<VmConnectionState> self,
                                                 ContextPtr context, VmLinkPtr link, listener_actor listening);

}  // namespace vgpu::daemon
