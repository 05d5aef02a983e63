#pragma once
#include <string>
#include <vector>

#include "actors/config.hpp"

namespace vgpu::daemon {

/// What `wanted` has otherwise than `running` and a running daemon can't change, as people write it: "socket in
/// [daemon]". Empty: it can be had without a restart.
std::vector<std::string> needs_restart(const Config& running, const Config& wanted);

}  // namespace vgpu::daemon
