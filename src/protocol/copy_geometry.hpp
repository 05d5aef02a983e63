#pragma once
#include <cuda.h>

#include "protocol/graph_node.hpp"

namespace vgpu::protocol {

/// What a copy and a CopyNode have in common: places, pitches and extent. Addresses, arrays, kinds of memory and the
/// context mean different things on the two sides, which fill them in themselves. Any thread.
inline void set_geometry(const CUDA_MEMCPY3D& from, CopyNode& to) noexcept {
  const auto side = [](CopyNodeSide& at, u64 x, u64 y, u64 z, u64 level, u64 pitch, u64 height) {
    at.x = x;
    at.y = y;
    at.z = z;
    at.level = level;
    at.pitch = pitch;
    at.height = height;
  };
  side(to.source, from.srcXInBytes, from.srcY, from.srcZ, from.srcLOD, from.srcPitch, from.srcHeight);
  side(to.destination, from.dstXInBytes, from.dstY, from.dstZ, from.dstLOD, from.dstPitch, from.dstHeight);
  to.width = from.WidthInBytes;
  to.height = from.Height;
  to.depth = from.Depth;
}

/// The other way.
inline void set_geometry(const CopyNode& from, CUDA_MEMCPY3D& to) noexcept {
  to.srcXInBytes = from.source.x;
  to.srcY = from.source.y;
  to.srcZ = from.source.z;
  to.srcLOD = from.source.level;
  to.srcPitch = from.source.pitch;
  to.srcHeight = from.source.height;
  to.dstXInBytes = from.destination.x;
  to.dstY = from.destination.y;
  to.dstZ = from.destination.z;
  to.dstLOD = from.destination.level;
  to.dstPitch = from.destination.pitch;
  to.dstHeight = from.destination.height;
  to.WidthInBytes = from.width;
  to.Height = from.height;
  to.Depth = from.depth;
}

}  // namespace vgpu::protocol
