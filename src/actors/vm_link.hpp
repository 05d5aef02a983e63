#pragma once
#include <memory>

#include "actors/ports.hpp"
#include "common/unique_fd.hpp"

namespace asio {
class io_context;
}

namespace vgpu::daemon {

/// A VmLink over an accepted SOCK_STREAM descriptor (vm_link.h). Null if the kernel does not say who the peer is.
VmLinkPtr make_vm_link(asio::io_context& io, UniqueFd socket);

}  // namespace vgpu::daemon
