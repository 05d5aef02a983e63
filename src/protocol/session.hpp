#pragma once
#include <array>
#include <cstdint>

#include "protocol/layout.h"
#include "protocol/types.hpp"

/// How a guest process opens a channel over the daemon's Unix socket (SOCK_SEQPACKET): it sends one Hello, the daemon
/// answers one Welcome with two descriptors (SCM_RIGHTS): the region's memfd and the doorbell's eventfd. The socket
/// then carries nothing more; closing it, or dying, ends the session, and the daemon closes it when it ends the
/// session.
namespace vgpu::protocol {

inline constexpr u32 kNoVm = 0xffffffff;

struct Hello {
  u32 magic = VGPU_MAGIC;
  u32 version = VGPU_VERSION;
  u32 bytes = sizeof(Hello);  ///< a later version may add fields at the end
  u32 vm = kNoVm;             ///< the VM id that the process claims; the daemon decides whether to believe it
  u64 features = 0;           ///< VGPU_FEATURE_... that the shim can use
  i32 pid = 0;
  u32 zero = 0;
  std::array<char, 32> pool{};     ///< claimed pool, NUL-terminated; empty: none
  std::array<char, 64> process{};  ///< name of the program, NUL-terminated, for the log
};
static_assert(sizeof(Hello) == 128);

struct Welcome {
  u32 magic = VGPU_MAGIC;
  u32 version = VGPU_VERSION;
  u32 bytes = sizeof(Welcome);
  u32 session = 0;
  i32 result = 0;  ///< CUresult: 0, or why there is no session; then no descriptors come
  u32 reason = 0;  ///< vgpu_end_reason
  u64 region_bytes = 0;
  std::array<char, 192> text{};  ///< for people, NUL-terminated
};
static_assert(sizeof(Welcome) == 224);

}  // namespace vgpu::protocol
