#pragma once
#include "softgpu/copy.hpp"

namespace vgpu::softgpu {

/// One side of a CUDA_MEMCPY2D or CUDA_MEMCPY3D.
struct CopySide {
  CUmemorytype type;
  const void* host;
  CUdeviceptr device;
  std::uint64_t x, y, z, pitch, rows;
  CUarray array = nullptr;
};

/// The rows that such a side names. Checks its own numbers only, not what lies at the address.
CUresult make_side(const CopySide& from, const Extent& extent, Side& side);

/// The sides of the parameters of a copy in three dimensions.
template <class Parameters>
CopySide destination_of(const Parameters& p) {
  return {p.dstMemoryType, p.dstHost, p.dstDevice, p.dstXInBytes, p.dstY, p.dstZ, p.dstPitch, p.dstHeight, p.dstArray};
}
template <class Parameters>
CopySide source_of(const Parameters& p) {
  return {p.srcMemoryType, p.srcHost, p.srcDevice, p.srcXInBytes, p.srcY, p.srcZ, p.srcPitch, p.srcHeight, p.srcArray};
}

/// Checks a copy in three dimensions as a whole: what a graph keeps of it.
CUresult prepare_copy(const CUDA_MEMCPY3D& parameters, Copy& copy);

}  // namespace vgpu::softgpu
