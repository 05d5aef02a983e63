// guard.hpp stands first, since it makes cuda.h's functions exported ones.
// clang-format off
#include "softgpu/guard.hpp"
#include "shim/tables/tables.hpp"
// clang-format on

using namespace vgpu::softgpu;

namespace {

constexpr unsigned kFlags = CU_CTX_SCHED_MASK | CU_CTX_MAP_HOST | CU_CTX_LMEM_RESIZE_TO_MAX | CU_CTX_COREDUMP_ENABLE |
                            CU_CTX_USER_COREDUMP_ENABLE | CU_CTX_SYNC_MEMOPS;

// Unlocked, because what libraries stored with the context may call the driver once more.
void end_storage(Device& of, bool for_release) {
  {
    const std::lock_guard lock(of.primary_mutex);
    if (!of.primary->active() || (for_release && of.primary_retains != 1)) return;
  }
  vgpu::shim::run_context_storage_destructors(of.primary->handle);
}

CUresult release(CUdevice device) {
  return with_driver([&](Driver& self) {
    if (in_host_function()) return CUDA_ERROR_NOT_PERMITTED;
    if (const CUresult error = check_device(device); error != CUDA_SUCCESS) return error;
    Device& of = self.device(device);
    end_storage(of, true);
    const std::lock_guard lock(of.primary_mutex);
    if (of.primary_retains == 0) return CUDA_ERROR_INVALID_CONTEXT;
    if (--of.primary_retains == 0 && of.primary->active()) of.primary->deactivate();
    return CUDA_SUCCESS;
  });
}

CUresult reset(CUdevice device) {
  return with_driver([&](Driver& self) {
    if (in_host_function()) return CUDA_ERROR_NOT_PERMITTED;
    if (const CUresult error = check_device(device); error != CUDA_SUCCESS) return error;
    Device& of = self.device(device);
    end_storage(of, false);
    const std::lock_guard lock(of.primary_mutex);
    if (of.primary->active()) of.primary->deactivate();
    of.primary->flags.store(0);
    // Whoever retained it keeps its retain, with a context that must be retained again before use.
    return CUDA_SUCCESS;
  });
}

CUresult set_flags(CUdevice device, unsigned flags) {
  return with_driver([&](Driver& self) {
    if (const CUresult error = check_device(device); error != CUDA_SUCCESS) return error;
    Device& of = self.device(device);
    const unsigned schedule = flags & CU_CTX_SCHED_MASK;
    if ((flags & ~kFlags) != 0 || (schedule & (schedule - 1)) != 0) return CUDA_ERROR_INVALID_VALUE;
    of.primary->flags.store(flags);
    return CUDA_SUCCESS;
  });
}

}  // namespace

CUresult CUDAAPI cuDevicePrimaryCtxRetain(CUcontext* handle, CUdevice device) {
  return with_healthy_driver([&](Driver& self) {
    if (handle == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult error = check_device(device); error != CUDA_SUCCESS) return error;
    Device& of = self.device(device);
    const std::lock_guard lock(of.primary_mutex);
    if (!of.primary->active()) of.primary->activate();
    ++of.primary_retains;
    *handle = of.primary->handle;
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuDevicePrimaryCtxGetState(CUdevice device, unsigned int* flags, int* active) {
  return with_driver([&](Driver& self) {
    if (flags == nullptr || active == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult error = check_device(device); error != CUDA_SUCCESS) return error;
    Device& of = self.device(device);
    *flags = of.primary->flags.load();
    *active = of.primary->active() ? 1 : 0;
    return CUDA_SUCCESS;
  });
}

#undef cuDevicePrimaryCtxRelease
#undef cuDevicePrimaryCtxReset
#undef cuDevicePrimaryCtxSetFlags
VGPU_CUDA_EXPORT CUresult CUDAAPI cuDevicePrimaryCtxRelease(CUdevice device) { return release(device); }
VGPU_CUDA_EXPORT CUresult CUDAAPI cuDevicePrimaryCtxRelease_v2(CUdevice device) { return release(device); }
VGPU_CUDA_EXPORT CUresult CUDAAPI cuDevicePrimaryCtxReset(CUdevice device) { return reset(device); }
VGPU_CUDA_EXPORT CUresult CUDAAPI cuDevicePrimaryCtxReset_v2(CUdevice device) { return reset(device); }
VGPU_CUDA_EXPORT CUresult CUDAAPI cuDevicePrimaryCtxSetFlags(CUdevice device, unsigned int flags) {
  return set_flags(device, flags);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuDevicePrimaryCtxSetFlags_v2(CUdevice device, unsigned int flags) {
  return set_flags(device, flags);
}
