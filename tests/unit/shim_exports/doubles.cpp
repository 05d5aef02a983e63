#include "doubles.hpp"

#include "shim/exports/per_thread.hpp"
#include "shim/exports/refuse.hpp"

namespace {

Doubles doubles;

CUresult carry() {
  ++doubles.carried_calls;
  doubles.carried_per_thread = vgpu::shim::per_thread_default_stream();
  return CUDA_SUCCESS;
}

}  // namespace

namespace vgpu::shim {

CUresult refuse(unsigned index) noexcept {
  doubles.last_refusal = static_cast<int>(index);
  return CUDA_ERROR_NOT_SUPPORTED;
}

int driver_version() noexcept { return doubles.driver_version; }

}  // namespace vgpu::shim

extern "C" {

Doubles* cuEGLApiInit() { return &doubles; }

// Two calls as the shim would carry them: their strong definitions must replace the refusing ones.
CUresult cuMemcpy(CUdeviceptr, CUdeviceptr, size_t) { return carry(); }
CUresult cuStreamQuery(CUstream stream) { return stream == nullptr ? carry() : CUDA_ERROR_INVALID_HANDLE; }
}
