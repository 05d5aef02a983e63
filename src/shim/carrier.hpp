#pragma once
#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "protocol/layout.h"
#include "protocol/types.hpp"

/// What carries a channel's shared memory and doorbell between this process and the host's daemon.
namespace vgpu::shim {

/// One open channel. The region's descriptor stays the carrier's.
class Carrier {
 public:
  Carrier() = default;
  Carrier(const Carrier&) = delete;
  Carrier& operator=(const Carrier&) = delete;
  virtual ~Carrier() = default;

  /// Descriptor to map the channel from, at offset 0; unless arena_on_demand(), the whole region.
  virtual int region_fd() const noexcept = 0;
  /// Of the region: channel and arena.
  virtual protocol::u64 region_bytes() const noexcept = 0;
  /// Wakes the executor. Any thread.
  virtual void ring_doorbell() noexcept = 0;
  /// Sleeps until the slot may hold the answer `ticket`, at most `timeout_ns`; may wake for no reason. `seen`: what
  /// stood in `done` when the caller looked. False: the time is over, or the host may be gone. Any thread.
  virtual bool wait(vgpu_slot& slot, protocol::u32 index, protocol::u32 seen, protocol::u32 ticket,
                    std::int64_t timeout_ns) noexcept;

  /// True where the arena is a range of addresses without memory, which take_extent() fills piece by piece.
  virtual bool arena_on_demand() const noexcept { return false; }
  /// Maps zeroed memory over [at, at + bytes) of the arena, or over a first part of it; both in granules. `offset`:
  /// what vgpuMapExtent names it by. How many bytes it is; 0: there is none. Any thread.
  virtual protocol::u64 take_extent(std::byte* at, protocol::u64 bytes, protocol::u64& offset) noexcept;
  /// Gives back memory of take_extent() that the executor no longer has, in granules; nothing is mapped at `at` from
  /// then on. Any thread.
  virtual void give_extent(std::byte* at, protocol::u64 bytes, protocol::u64 offset) noexcept;

  /// False once the host's end is gone. Any thread; a system call.
  virtual bool alive() noexcept = 0;
  /// Ends the channel; the host notices. Any thread, more than once.
  virtual void close() noexcept = 0;
  /// Called in the child of a fork: lets go of the descriptors without telling the host anything.
  virtual void abandon() noexcept = 0;
};

/// A carrier, or why there is none.
struct Opened {
  std::unique_ptr<Carrier> carrier;
  CUresult result = CUDA_SUCCESS;
  std::string reason;  ///< for people: what failed, and what to do
};

/// What a channel is opened for.
enum class Purpose {
  session,  ///< an executor and its GPU
  status,   ///< one protocol::Status at the beginning of staging; the host has ended the channel by then
};

/// Opens the carrier that VGPU_CARRIER names (unix, device); by default the device if there is one, else the Unix
/// socket.
Opened open_carrier(Purpose purpose);
inline Opened open_carrier() { return open_carrier(Purpose::session); }

/// VGPU_FEATURE_... that a channel of this purpose asks for.
protocol::u64 wanted_features(Purpose purpose) noexcept;

/// Opens a channel over a Unix socket: VGPU_SOCKET, else $XDG_RUNTIME_DIR/vgpu/vgpud.sock if it exists, else
/// /run/vgpu/vgpud.sock. VGPU_VM_ID and VGPU_POOL are passed on as the claimed identity.
Opened open_unix_carrier(Purpose purpose);

/// VGPU_DEVICE, else /dev/vgpu0.
std::string device_path();

/// What the device's carrier asks of the system; results as of the calls that they are named after. For tests.
struct DeviceSystem {
  int (*open)(const char* path);
  int (*ioctl)(int fd, unsigned long request, void* argument);
  void* (*mmap)(void* at, protocol::u64 bytes, int flags, int fd, protocol::u64 offset);
};

/// Opens a channel of the virtual machine's device (protocol/driver.h).
Opened open_device_carrier(Purpose purpose);
Opened open_device_carrier(const std::string& path, const DeviceSystem& system, Purpose purpose = Purpose::session);

}  // namespace vgpu::shim
