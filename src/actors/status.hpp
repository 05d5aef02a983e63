#pragma once
#include <memory>

#include "actors/context.hpp"
#include "actors/identity.hpp"
#include "protocol/status.hpp"

namespace vgpu::daemon {

/// What a VM's process may know of the GPUs that a session of it would see now. Any thread.
std::unique_ptr<protocol::Status> status_of(const Context& context, const Identity& identity);

}  // namespace vgpu::daemon
