#pragma once
#include <cuda.h>

namespace vgpu::shim {

/// Counts a refusal under cuda_names()[index], with VGPU_LOG set says once on stderr that `what` is not carried, and
/// returns CUDA_ERROR_NOT_SUPPORTED. Any thread, before cuInit too.
CUresult refuse_as(unsigned index, const char* what) noexcept;

}  // namespace vgpu::shim
