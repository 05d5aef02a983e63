// Primary contexts: counted here, so that the polling which libraries do costs nothing.
#include "shim/context.hpp"
#include "shim/refuse_as.hpp"

namespace vgpu::shim {

Context* primary_context(CUdevice ordinal, Device& device, CUresult& result) {
  // The caller holds device.primary_mutex.
  if (device.primary == 0) {
    const auto minted = state().contexts.mint();
    if (!minted.object) {
      result = CUDA_ERROR_OUT_OF_MEMORY;
      return nullptr;
    }
    minted.object->handle = minted.handle.value;
    minted.object->device = ordinal;
    minted.object->primary = true;
    minted.object->id = state().next_context_id.fetch_add(1);
    device.primary = minted.handle.value;
  }
  result = CUDA_SUCCESS;
  return state().contexts.find(device.primary);
}

namespace {

/// After the executor has let go of it.
void deactivate(Device& device) {
  Context* context = state().contexts.find(device.primary);
  if (!context) return;
  context->active.store(false, std::memory_order_release);
  context->known_limits.store(0);
  context->cache_config.store(CU_FUNC_CACHE_PREFER_NONE);
}

/// Ends what lives in it. Without the device's lock, because what libraries stored with a context may call back.
void empty_primary(Device& device) {
  u64 handle = 0;
  {
    std::lock_guard lock(device.primary_mutex);
    handle = device.primary;
  }
  if (const Context* context = state().contexts.find(handle)) empty_context(*context);
}

/// The bits of flags that cuDevicePrimaryCtxSetFlags takes; one scheduling policy at most.
bool valid_flags(unsigned flags) noexcept {
  const unsigned schedule = flags & CU_CTX_SCHED_MASK;
  return (flags & ~static_cast<unsigned>(CU_CTX_FLAGS_MASK)) == 0 && (schedule & (schedule - 1)) == 0;
}

}  // namespace
}  // namespace vgpu::shim

using namespace vgpu::shim;

CUresult cuDevicePrimaryCtxRetain(CUcontext* out, CUdevice ordinal) {
  return with_device(ordinal, [&](Device& device) -> CUresult {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    std::lock_guard lock(device.primary_mutex);
    CUresult result = CUDA_SUCCESS;
    Context* context = primary_context(ordinal, device, result);
    if (!context) return result;
    if (device.retained == 0) {
      const u32 flags = device.primary_flags.load();
      result = ask<call::cuDevicePrimaryCtxRetain>(0, {{context->handle}, ordinal, flags});
      if (result != CUDA_SUCCESS) return result;
      context->flags.store(flags);
      context->active.store(true, std::memory_order_release);
    }
    ++device.retained;
    *out = as_cuda(*context);
    return CUDA_SUCCESS;
  });
}

CUresult cuDevicePrimaryCtxRelease(CUdevice ordinal) {
  return with_device(ordinal, [&](Device& device) -> CUresult {
    if (device.retained.load() == 1) empty_primary(device);
    std::lock_guard lock(device.primary_mutex);
    if (device.retained == 0) return CUDA_ERROR_INVALID_CONTEXT;
    if (--device.retained != 0) return CUDA_SUCCESS;
    const CUresult result = ask<call::cuDevicePrimaryCtxRelease>(0, {ordinal, 0});
    deactivate(device);
    return result;
  });
}

CUresult cuDevicePrimaryCtxReset(CUdevice ordinal) {
  return with_device(ordinal, [&](Device& device) -> CUresult {
    if (device.retained.load() != 0) empty_primary(device);
    std::lock_guard lock(device.primary_mutex);
    if (device.retained == 0) return CUDA_SUCCESS;
    const CUresult result = ask<call::cuDevicePrimaryCtxReset>(0, {ordinal, 0});
    device.retained = 0;
    deactivate(device);
    return result;
  });
}

CUresult cuDevicePrimaryCtxSetFlags(CUdevice ordinal, unsigned int flags) {
  return with_device(ordinal, [&](Device& device) -> CUresult {
    if (!valid_flags(flags)) return CUDA_ERROR_INVALID_VALUE;
    if ((flags & (CU_CTX_COREDUMP_ENABLE | CU_CTX_USER_COREDUMP_ENABLE)) != 0)
      return refuse_as("cuDevicePrimaryCtxSetFlags_v2", "a context that dumps core, which would lie on the host");
    std::lock_guard lock(device.primary_mutex);
    device.primary_flags.store(flags);
    if (device.retained != 0)
      if (Context* context = state().contexts.find(device.primary)) context->flags.store(flags);
    return CUDA_SUCCESS;
  });
}

CUresult cuDevicePrimaryCtxGetState(CUdevice ordinal, unsigned int* flags, int* active) {
  return with_device(ordinal, [&](Device& device) -> CUresult {
    if (!flags || !active) return CUDA_ERROR_INVALID_VALUE;
    *flags = device.primary_flags.load();
    *active = device.retained.load() != 0;
    return CUDA_SUCCESS;
  });
}
