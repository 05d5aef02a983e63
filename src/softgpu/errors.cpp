#include "common/cuda_errors.hpp"
#include "softgpu/driver_api.hpp"

namespace {

CUresult give(const char** out, const char* found) noexcept {
  if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *out = found;
  return found == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

}  // namespace

CUresult CUDAAPI cuGetErrorName(CUresult error, const char** name) { return give(name, vgpu::cuda_error_name(error)); }

CUresult CUDAAPI cuGetErrorString(CUresult error, const char** text) {
  return give(text, vgpu::cuda_error_text(error));
}
