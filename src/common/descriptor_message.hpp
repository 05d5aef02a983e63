#pragma once
#include <sys/types.h>

#include <cstddef>
#include <span>
#include <vector>

#include "common/unique_fd.hpp"

/// Messages over Unix sockets that carry file descriptors (SCM_RIGHTS).
namespace vgpu {

inline constexpr std::size_t kMostPassedDescriptors = 64;

/// sendmsg() of `bytes` bytes with these descriptors, which stay the caller's; as it returns, after EINTR again. Flags
/// as sendmsg()'s; MSG_NOSIGNAL is added. More than kMostPassedDescriptors: EINVAL.
ssize_t send_with_descriptors(int socket, const void* data, std::size_t bytes, std::span<const int> descriptors,
                              int flags = 0);

/// recvmsg() of at most `bytes` bytes; descriptors that came are added, closed on exec. After EINTR again, unless
/// MSG_DONTWAIT says that nobody waits. Flags as recvmsg()'s.
ssize_t receive_with_descriptors(int socket, void* data, std::size_t bytes, std::vector<UniqueFd>& descriptors,
                                 int flags = 0);

}  // namespace vgpu
