#pragma once
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <optional>
#include <string_view>

namespace vgpu {

/// The address of a Unix socket at `path`, or nothing when the path is longer than the kernel takes (107 bytes).
inline std::optional<sockaddr_un> unix_address(std::string_view path) noexcept {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return std::nullopt;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

}  // namespace vgpu
