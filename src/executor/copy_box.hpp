#pragma once
#include "executor/dispatch.hpp"

namespace vgpu::executor {

/// A copy of rows and planes as the driver takes it. CUDA_ERROR_INVALID_HANDLE for an array that is none,
/// CUDA_ERROR_INVALID_VALUE for two sides in the region; CUDA_ERROR_UNKNOWN: the session has ended, because a side is
/// malformed or leads out of the region.
CUresult read_copy(Invocation& in, const protocol::CopySide& source, const protocol::CopySide& destination,
                   const protocol::CopyExtent& extent, CUDA_MEMCPY3D& copy);

}  // namespace vgpu::executor
