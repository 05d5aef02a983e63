#pragma once
#include <cstdint>

namespace vgpu::softgpu {

inline constexpr unsigned kMostDevices = 16;

/// What the environment says of the software GPU, read once by cuInit.
struct Settings {
  unsigned devices = 1;  ///< VGPU_SOFTGPU_DEVICES, 1 to kMostDevices
  unsigned first = 0;    ///< VGPU_SOFTGPU_FIRST: device 0 is the machine's software GPU of this number, from 0
  std::uint64_t memory_bytes = std::uint64_t{4} << 30;  ///< VGPU_SOFTGPU_MEMORY: of each device, with a suffix K, M, G
  std::uint64_t rate = 0;               ///< VGPU_SOFTGPU_RATE: lane-instructions a second of each device; 0: no limit
  unsigned launch_timeout_seconds = 0;  ///< VGPU_SOFTGPU_LAUNCH_TIMEOUT: of each launch; 0: none
};

/// A value that can't be used is logged as a warning and the default taken, so that no variable makes a program fail.
Settings read_settings();

}  // namespace vgpu::softgpu
