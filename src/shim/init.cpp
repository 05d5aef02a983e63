// cuInit, versions, error names and texts, the profiler's switches.
#include <cuda.h>
#include <cudaProfiler.h>

#include "common/cuda_errors.hpp"
#include "shim/session.hpp"

using namespace vgpu::shim;

CUresult cuInit(unsigned int flags) {
  if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
  return open_session();
}

CUresult cuDriverGetVersion(int* version) {
  if (!version) return CUDA_ERROR_INVALID_VALUE;
  *version = driver_version();
  return CUDA_SUCCESS;
}

CUresult cuGetErrorName(CUresult error, const char** name) {
  if (!name) return CUDA_ERROR_INVALID_VALUE;
  *name = vgpu::cuda_error_name(error);
  return *name ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorString(CUresult error, const char** text) {
  if (!text) return CUDA_ERROR_INVALID_VALUE;
  *text = vgpu::cuda_error_text(error);
  return *text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

// Without a profiler attached the driver has nothing to switch and says success.
CUresult cuProfilerStart() {
  return with_context([](Context&) { return CUDA_SUCCESS; });
}

CUresult cuProfilerStop() {
  return with_context([](Context&) { return CUDA_SUCCESS; });
}
