#pragma once
#include <array>
#include <cstdint>

#include "protocol/vm_account.hpp"

namespace vgpu::daemon {

/// What a VM may hold and do, over all its sessions.
struct Limits {
  std::array<std::uint64_t, protocol::kLimits> most{};  ///< by protocol::Limit; 0: no limit
  std::uint32_t sessions = protocol::VmAccount::kMostSessions;
  std::uint64_t calls_per_second = 0;  ///< 0: no limit
  std::uint64_t in_flight = 0;         ///< kernels, copies and graphs of a session under way; 0: no limit

  std::uint64_t& operator[](protocol::Limit limit) noexcept { return most[static_cast<std::size_t>(limit)]; }
  std::uint64_t operator[](protocol::Limit limit) const noexcept { return most[static_cast<std::size_t>(limit)]; }
};

}  // namespace vgpu::daemon
