#pragma once
#include <asio/io_context.hpp>
#include <optional>
#include <vector>

#include "actors/ports.hpp"
#include "common/unique_fd.hpp"

namespace vgpu::daemon {

/// One operator's connection on the admin socket. A line may have 64 KiB, and 4 MiB may wait for a client that does not
/// read; one that passes either bound is dropped. Null: the peer is gone already.
AdminClientPtr make_admin_client(asio::io_context& io, UniqueFd socket);

}  // namespace vgpu::daemon
