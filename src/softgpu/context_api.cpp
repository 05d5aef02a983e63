// guard.hpp stands first, since it makes cuda.h's functions exported ones.
// clang-format off
#include "softgpu/guard.hpp"
#include "shim/tables/tables.hpp"
// clang-format on
#include "softgpu/capture.hpp"

using namespace vgpu::softgpu;

namespace {

constexpr unsigned kCreateFlags = CU_CTX_SCHED_MASK | CU_CTX_MAP_HOST | CU_CTX_LMEM_RESIZE_TO_MAX |
                                  CU_CTX_COREDUMP_ENABLE | CU_CTX_USER_COREDUMP_ENABLE | CU_CTX_SYNC_MEMOPS;
constexpr unsigned kApiVersion = 3020;
constexpr int kLeastPriority = 0;
constexpr int kGreatestPriority = -5;

bool valid_flags(unsigned flags) noexcept {
  const unsigned schedule = flags & CU_CTX_SCHED_MASK;
  return (flags & ~kCreateFlags) == 0 && (schedule & (schedule - 1)) == 0;
}

CUresult create(CUcontext* handle, unsigned flags, CUdevice device) {
  return with_healthy_driver([&](Driver& self) {
    if (handle == nullptr || !valid_flags(flags)) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult error = check_device(device); error != CUDA_SUCCESS) return error;
    auto context = std::make_shared<Context>(self.device(device), false, flags);
    context->activate();
    context->handle = self.contexts.insert(context);
    *handle = context->handle;
    context_stack().push_back(std::move(context));
    return CUDA_SUCCESS;
  });
}

/// A handle given by the caller, or null for the current context.
CUresult find_context(CUcontext handle, std::shared_ptr<Context>& context) {
  if (handle == nullptr) {
    const auto& stack = context_stack();
    if (stack.empty() || stack.back() == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    context = stack.back();
  } else {
    context = driver().contexts.find(handle);
    if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
  }
  return context->active() ? CUDA_SUCCESS : CUDA_ERROR_CONTEXT_IS_DESTROYED;
}

CUresult synchronize(Context& context) {
  if (const CUresult error = unsafe_in_capture(); error != CUDA_SUCCESS) return error;
  context.synchronize();
  context.device().default_pool->trim_to_threshold();
  return driver().fault();
}

}  // namespace

VGPU_CUDA_EXPORT CUresult CUDAAPI cuCtxCreate_v4(CUcontext* context, CUctxCreateParams* parameters, unsigned int flags,
                                                 CUdevice device) {
  if (parameters != nullptr && (parameters->numExecAffinityParams != 0 || parameters->cigParams != nullptr)) {
    return with_healthy_driver([](Driver&) { return CUDA_ERROR_NOT_SUPPORTED; });
  }
  return create(context, flags, device);
}

VGPU_CUDA_EXPORT CUresult CUDAAPI cuCtxCreate_v3(CUcontext* context, CUexecAffinityParam* parameters, int count,
                                                 unsigned int flags, CUdevice device) {
  if (parameters != nullptr && count != 0) {
    return with_healthy_driver([](Driver&) { return CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY; });
  }
  return create(context, flags, device);
}

VGPU_CUDA_EXPORT CUresult CUDAAPI cuCtxCreate_v2(CUcontext* context, unsigned int flags, CUdevice device) {
  return create(context, flags, device);
}

CUresult CUDAAPI cuCtxDestroy(CUcontext handle) {
  return with_driver([&](Driver& self) {
    if (in_host_function()) return CUDA_ERROR_NOT_PERMITTED;
    const auto found = self.contexts.find(handle);
    if (found == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    // The primary context ends by cuDevicePrimaryCtxRelease.
    if (found->primary) return CUDA_ERROR_INVALID_CONTEXT;
    // While the handle is good: what libraries stored with it may call the driver once more.
    vgpu::shim::run_context_storage_destructors(handle);
    if (self.contexts.remove(handle) == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    auto& stack = context_stack();
    if (!stack.empty() && stack.back() == found) stack.pop_back();
    found->deactivate();
    return self.fault();
  });
}

CUresult CUDAAPI cuCtxPushCurrent(CUcontext handle) {
  return with_driver([&](Driver& self) {
    if (in_host_function()) return CUDA_ERROR_NOT_PERMITTED;
    if (handle == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    auto context = self.contexts.find(handle);
    if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    context_stack().push_back(std::move(context));
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuCtxPopCurrent(CUcontext* handle) {
  return with_driver([&](Driver&) {
    auto& stack = context_stack();
    if (stack.empty()) return CUDA_ERROR_INVALID_CONTEXT;
    if (handle != nullptr) *handle = stack.back() == nullptr ? nullptr : stack.back()->handle;
    stack.pop_back();
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuCtxSetCurrent(CUcontext handle) {
  return with_driver([&](Driver& self) {
    if (in_host_function()) return CUDA_ERROR_NOT_PERMITTED;
    auto& stack = context_stack();
    if (handle == nullptr) {
      if (!stack.empty()) stack.pop_back();
      return CUDA_SUCCESS;
    }
    if (!stack.empty() && stack.back() != nullptr && stack.back()->handle == handle) {
      return stack.back()->primary || self.contexts.find(handle) != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
    }
    auto context = self.contexts.find(handle);
    if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    if (stack.empty()) {
      stack.push_back(std::move(context));
    } else {
      stack.back() = std::move(context);
    }
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuCtxGetCurrent(CUcontext* handle) {
  return with_driver([&](Driver&) {
    if (handle == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const auto& stack = context_stack();
    *handle = stack.empty() || stack.back() == nullptr ? nullptr : stack.back()->handle;
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuCtxGetDevice(CUdevice* device) { return cuCtxGetDevice_v2(device, nullptr); }

CUresult CUDAAPI cuCtxGetDevice_v2(CUdevice* device, CUcontext handle) {
  return with_driver([&](Driver&) {
    std::shared_ptr<Context> context;
    if (const CUresult error = find_context(handle, context); error != CUDA_SUCCESS) return error;
    if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *device = context->device().ordinal;
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuCtxGetFlags(unsigned int* flags) {
  return with_context([&](Context& context) {
    if (flags == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *flags = context.flags.load();
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuCtxSetFlags(unsigned int flags) {
  return with_context([&](Context& context) {
    if (!valid_flags(flags)) return CUDA_ERROR_INVALID_VALUE;
    context.flags.store(flags);
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuCtxGetId(CUcontext handle, unsigned long long* id) {
  return with_driver([&](Driver&) {
    std::shared_ptr<Context> context;
    if (const CUresult error = find_context(handle, context); error != CUDA_SUCCESS) return error;
    if (id == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *id = context->id;
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuCtxSynchronize() {
  return with_context([](Context& context) { return synchronize(context); });
}

CUresult CUDAAPI cuCtxSynchronize_v2(CUcontext handle) {
  return with_healthy_driver([&](Driver&) {
    std::shared_ptr<Context> context;
    if (const CUresult error = find_context(handle, context); error != CUDA_SUCCESS) return error;
    return synchronize(*context);
  });
}

CUresult CUDAAPI cuCtxGetLimit(size_t* value, CUlimit limit) {
  return with_context([&](Context& context) {
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return context.get_limit(limit, *value);
  });
}

CUresult CUDAAPI cuCtxSetLimit(CUlimit limit, size_t value) {
  return with_context([&](Context& context) { return context.set_limit(limit, value); });
}

CUresult CUDAAPI cuCtxGetCacheConfig(CUfunc_cache* config) {
  return with_context([&](Context& context) {
    if (config == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *config = context.cache_config.load();
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuCtxSetCacheConfig(CUfunc_cache config) {
  return with_context([&](Context& context) {
    if (config > CU_FUNC_CACHE_PREFER_EQUAL) return CUDA_ERROR_INVALID_VALUE;
    context.cache_config.store(config);
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuCtxGetSharedMemConfig(CUsharedconfig* config) {
  return with_context([&](Context&) {
    if (config == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *config = CU_SHARED_MEM_CONFIG_FOUR_BYTE_BANK_SIZE;
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuCtxSetSharedMemConfig(CUsharedconfig config) {
  return with_context([&](Context&) {
    return config > CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuCtxGetApiVersion(CUcontext handle, unsigned int* version) {
  return with_driver([&](Driver&) {
    std::shared_ptr<Context> context;
    if (const CUresult error = find_context(handle, context); error != CUDA_SUCCESS) return error;
    if (version == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *version = kApiVersion;
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  return with_context([&](Context&) {
    if (least != nullptr) *least = kLeastPriority;
    if (greatest != nullptr) *greatest = kGreatestPriority;
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuCtxResetPersistingL2Cache() {
  return with_context([](Context&) { return CUDA_SUCCESS; });
}
