#pragma once
#include <cuda.h>

#include <memory>
#include <string>

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

  /// Descriptor to map the region from.
  virtual int region_fd() const noexcept = 0;
  virtual protocol::u64 region_bytes() const noexcept = 0;
  /// Wakes the executor. Any thread.
  virtual void ring_doorbell() noexcept = 0;
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

/// Opens the carrier that VGPU_CARRIER names (unix, device), by default the Unix socket.
Opened open_carrier();

/// Opens a session over a Unix socket: VGPU_SOCKET, else $XDG_RUNTIME_DIR/vgpu/vgpud.sock if it exists, else
/// /run/vgpu/vgpud.sock. VGPU_VM_ID and VGPU_POOL are passed on as the claimed identity.
Opened open_unix_carrier();

}  // namespace vgpu::shim
