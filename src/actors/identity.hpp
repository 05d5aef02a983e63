#pragma once
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>

#include "actors/config.hpp"
#include "actors/errors.hpp"
#include "protocol/session.hpp"

namespace vgpu::daemon {

/// Who is at the other end of a socket, as the kernel says (SO_PEERCRED).
struct Peer {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};

/// A refusal: `detail` adds what is particular to the case, for the log and the guest.
struct Refusal {
  ErrorCode code;
  std::string detail;
};

/// Checks one message as a Hello. A later minor version may be longer than ours; what it adds is not read.
std::variant<protocol::Hello, Refusal> check_hello(std::span<const std::byte> message);

/// The VM and pool that a guest process belongs to.
struct Identity {
  std::uint32_t vm = 0;  ///< 0 where none was claimed
  std::string pool;
  bool registered = false;
};

/// A claimed VM id is believed from root, from the daemon's own user (`own_uid`) and from the configured user of QEMU,
/// and refused from others. The pool of a VM in the configuration wins over a claimed one; other guests follow
/// [unregistered] and may name their pool.
std::variant<Identity, Refusal> identify(const Config& config, const Peer& peer, uid_t own_uid,
                                         const protocol::Hello& hello);
/// For a VM that was identified before, whose configuration may have changed since.
std::variant<Identity, Refusal> identify_again(const Config& config, const Identity& known);

}  // namespace vgpu::daemon
