// What the generated exports need of the shim's core, which implements both functions.
#pragma once

#include <cuda.h>

namespace vgpu::shim {

/// Called by every function that is not carried. Counts the call under cuda_names()[index] (common/cuda_names.hpp),
/// names it in the log the first time, and returns CUDA_ERROR_NOT_SUPPORTED. Called from any thread, before cuInit too.
CUresult refuse(unsigned index) noexcept;

/// The CUDA version that cuDriverGetVersion reports, as 1000 * major + 10 * minor: at most CUDA_VERSION of the toolkit
/// that this was built with, since nothing later can be carried. Must be callable before cuInit (the runtime resolves
/// entry points before it initializes), and return the same number all the time. Any thread.
int driver_version() noexcept;

}  // namespace vgpu::shim
