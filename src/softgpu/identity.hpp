#pragma once
#include <array>

/// What a software GPU is called, the same for the same ordinal in every process of every machine. CUDA and NVML say it
/// alike.
namespace vgpu::softgpu {

inline constexpr char kDeviceName[] = "vgpu software GPU";

/// A UUID of version 4's form; the last byte counts the devices from 1.
constexpr std::array<unsigned char, 16> device_uuid(int ordinal) noexcept {
  std::array<unsigned char, 16> uuid{0x76, 0x67, 0x70, 0x75, 0x73, 0x6f, 0x46, 0x74,
                                     0xa7, 0x67, 0x70, 0x75, 0x00, 0x00, 0x00, 0x01};
  uuid[15] = static_cast<unsigned char>(uuid[15] + ordinal);
  return uuid;
}

}  // namespace vgpu::softgpu
