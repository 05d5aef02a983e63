#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "common/fatbin.hpp"
#include "softgpu/image.hpp"

/// PTX out of NVIDIA's fat binary container.
namespace vgpu::softgpu::fatbin {

inline constexpr std::uint32_t kWrapperMagic = 0x466243b1;

/// What a program holds: `__fatBinC_Wrapper_t` of the toolkit's crt/host_runtime.h era.
struct Wrapper {
  std::uint32_t magic;
  std::uint32_t version;
  const void* data;
  const void* filename_or_fatbins;
};
static_assert(sizeof(Wrapper) == 24);

using vgpu::fatbin::Entry;
using vgpu::fatbin::Header;
using vgpu::fatbin::kFlagArchSpecific;
using vgpu::fatbin::kKindElf;
using vgpu::fatbin::kKindPtx;
using vgpu::fatbin::kMagic;

/// The container's length by its header; 0 if this is no container. Reads 16 bytes.
std::uint64_t container_bytes(const void* data) noexcept;

/// The best PTX of a container for a device of compute capability 9.0: the highest architecture up to sm_90. A
/// container with machine code only gives CUDA_ERROR_NO_BINARY_FOR_GPU. Reads nothing outside `bytes`.
Image select_ptx(std::span<const std::byte> bytes);

}  // namespace vgpu::softgpu::fatbin
