#pragma once
#include <cstdint>
#include <optional>

#include "softgpu/driver_api.hpp"

namespace vgpu::softgpu {

class Device;

/// The limits of the device: those of compute capability 9.0 (CUDA C++ Programming Guide, "Technical Specifications per
/// Compute Capability"), shared by the attributes, the launch checks and the occupancy calculator.
namespace limits {
inline constexpr int kComputeMajor = 9;
inline constexpr int kComputeMinor = 0;
inline constexpr unsigned kWarp = 32;
inline constexpr unsigned kThreadsPerBlock = 1024;
inline constexpr unsigned kBlockX = 1024, kBlockY = 1024, kBlockZ = 64;
inline constexpr unsigned kGridX = 2147483647, kGridY = 65535, kGridZ = 65535;
inline constexpr unsigned kWarpsPerSm = 64;
inline constexpr unsigned kThreadsPerSm = 2048;
inline constexpr unsigned kBlocksPerSm = 32;
inline constexpr unsigned kRegistersPerSm = 65536;
inline constexpr unsigned kRegistersPerBlock = 65536;
inline constexpr unsigned kRegisterUnit = 256;  ///< registers are given to warps in units of this
inline constexpr unsigned kStaticShared = 48 * 1024;
inline constexpr unsigned kOptInShared = 227 * 1024;
inline constexpr unsigned kSharedPerSm = 228 * 1024;
inline constexpr unsigned kReservedShared = 1024;  ///< of each block, for the system
inline constexpr unsigned kSharedUnit = 128;
inline constexpr unsigned kMaxPitch = 2147483647;
inline constexpr unsigned kTextureAlignment = 512, kTexturePitchAlignment = 32;
inline constexpr unsigned kTextureLinear = 1u << 28;  ///< texels
inline constexpr unsigned kTexture2dWidth = 131072, kTexture2dHeight = 65536, kTexture3d = 16384;
inline constexpr unsigned kTexture2dLinearWidth = 131072, kTexture2dLinearHeight = 65000;
inline constexpr unsigned kTexture2dLinearPitch = 2097120;
inline constexpr unsigned kLayeredWidth = 32768, kLayers = 2048;
inline constexpr unsigned kCubeWidth = 32768, kCubeLayers = 2046;
inline constexpr unsigned kParameterBytes = 32764;
inline constexpr unsigned kPciDomain = 0, kPciBus = 0xf0, kPciDevice = 0;  ///< of device 0; the bus counts up
}  // namespace limits

/// One multiprocessor for each CPU core that this process may use.
unsigned multiprocessors() noexcept;

/// The value of an attribute; nothing for numbers that CUDA 13.0 doesn't know.
std::optional<int> device_attribute(const Device& device, CUdevice_attribute attribute) noexcept;

}  // namespace vgpu::softgpu
