#pragma once
#include <sys/uio.h>

#include <cerrno>
#include <cstdint>
#include <optional>

namespace vgpu::daemon {

/// Takes what a doorbell's eventfd holds without ever sleeping. The guest's side shares the open file and may have
/// taken O_NONBLOCK off it, and may empty it between our look and our read: so the flag stands on the read itself
/// (eventfd: Linux 5.8).
inline std::optional<std::uint64_t> take_rings(int doorbell) noexcept {
  std::uint64_t rings = 0;
  iovec part{&rings, sizeof rings};
  ssize_t got = 0;
  do {
    got = ::preadv2(doorbell, &part, 1, -1, RWF_NOWAIT);
  } while (got < 0 && errno == EINTR);
  if (got != sizeof rings) return std::nullopt;
  return rings;
}

}  // namespace vgpu::daemon
