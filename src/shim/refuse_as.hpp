#pragma once
#include <cuda.h>

#include <string_view>

namespace vgpu::shim {

/// Refuses a form of a function that is carried otherwise. Counts it under `name`, a name of cuda_names() (the newest
/// version's, or a private table's), with VGPU_LOG set says once on stderr that `what` is not carried, and returns
/// CUDA_ERROR_NOT_SUPPORTED. `what` ends with a NUL. Any thread, before cuInit too.
CUresult refuse_as(std::string_view name, const char* what) noexcept;

}  // namespace vgpu::shim
