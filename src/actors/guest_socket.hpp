#pragma once
#include <memory>

#include "actors/ports.hpp"
#include "common/unique_fd.hpp"

namespace asio {
class io_context;
}

namespace vgpu::daemon {

/// A GuestSocket over an accepted SOCK_SEQPACKET descriptor. Null if the kernel does not say who the peer is.
GuestSocketPtr make_guest_socket(asio::io_context& io, UniqueFd socket);

}  // namespace vgpu::daemon
