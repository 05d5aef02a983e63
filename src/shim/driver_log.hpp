#pragma once
#include <cuda.h>

#include <string_view>

namespace vgpu::shim {

/// Adds a message to the log that cuLogs* show: what this library says of a call that fails here. The log of the host's
/// driver is the operator's. Any thread, before cuInit too.
void log_message(CUlogLevel level, std::string_view message) noexcept;

}  // namespace vgpu::shim
