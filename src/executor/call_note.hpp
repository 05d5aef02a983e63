#pragma once
#include <chrono>
#include <string>

#include "protocol/call_trace.hpp"

namespace vgpu::executor {

/// What is to be told of one call when it is answered. Empty unless somebody watches calls.
struct CallNote {
  std::uint32_t watch = 0;  ///< bits of protocol::CallWatch, as they were when the call began
  std::uint64_t bytes = 0;  ///< that the request states
  std::chrono::steady_clock::time_point begin{};
  std::string line;  ///< the call and its arguments
};

}  // namespace vgpu::executor
