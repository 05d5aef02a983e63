// Kernels: what a library has; a context's form of one is a function.
#include "shim/callable.hpp"

namespace vgpu::shim {

CUresult kernel_function(const Context& context, u64 kernel_handle, u64& handle) {
  State& s = state();
  Callable* kernel = s.kernels.find(kernel_handle);
  Library* library = kernel ? s.libraries.find(kernel->library) : nullptr;
  if (!library) return CUDA_ERROR_INVALID_HANDLE;
  {
    std::lock_guard lock(library->mutex);
    const auto found = kernel->functions.find(context.handle);
    if (found != kernel->functions.end() && s.functions.find(found->second)) {
      handle = found->second;
      return CUDA_SUCCESS;
    }
  }
  const auto minted = s.functions.mint();
  if (!minted.object) return CUDA_ERROR_OUT_OF_MEMORY;
  Callable& function = *minted.object;
  function.name = kernel->name;
  function.context = context.handle;
  function.library = kernel->library;
  function.kernel = kernel_handle;
  function.parameters = kernel->parameters;
  function.parameter_bytes = kernel->parameter_bytes;
  function.dense = kernel->dense;
  const CUresult result = ask<call::cuKernelGetFunction>(context.index(), {{kernel_handle}, minted.handle});
  if (result != CUDA_SUCCESS) {
    s.functions.release(minted.handle.value);
    return result;
  }
  std::lock_guard lock(library->mutex);
  u64& known = kernel->functions[context.handle];
  if (!s.functions.find(known)) known = minted.handle.value;
  handle = known;
  return CUDA_SUCCESS;
}

}  // namespace vgpu::shim

using namespace vgpu::shim;

namespace {

template <typename F>
CUresult with_kernel(CUkernel kernel, F&& f) noexcept {
  return guarded([&]() -> CUresult {
    const u64 handle = reinterpret_cast<u64>(kernel);
    Callable* found = state().kernels.find(handle);
    return found ? f(*found, handle) : CUDA_ERROR_INVALID_HANDLE;
  });
}

}  // namespace

CUresult cuKernelGetFunction(CUfunction* out, CUkernel kernel) {
  return with_context([&](Context& context) -> CUresult {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    u64 function = 0;
    const CUresult result = kernel_function(context, reinterpret_cast<u64>(kernel), function);
    if (result == CUDA_SUCCESS) *out = reinterpret_cast<CUfunction>(function);
    return result;
  });
}

CUresult cuKernelGetLibrary(CUlibrary* out, CUkernel kernel) {
  return with_kernel(kernel, [&](Callable& found, u64) {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    *out = reinterpret_cast<CUlibrary>(found.library);
    return CUDA_SUCCESS;
  });
}

CUresult cuKernelGetAttribute(int* value, CUfunction_attribute attribute, CUkernel kernel, CUdevice device) {
  return with_kernel(kernel, [&](Callable& found, u64 handle) -> CUresult {
    if (!value) return CUDA_ERROR_INVALID_VALUE;
    CUresult result = CUDA_SUCCESS;
    if (!find_device(device, result)) return result;
    const auto fetch = [&](int& fetched) {
      call::cuKernelGetAttribute::Reply reply{};
      const CUresult answer =
          ask<call::cuKernelGetAttribute>(any_context_index(), {{handle}, static_cast<u32>(attribute), device}, &reply);
      if (answer == CUDA_SUCCESS) fetched = reply.value;
      return answer;
    };
    // Devices may differ; what is known is of the first one.
    if (device != 0) return fetch(*value);
    return cached_attribute(found, static_cast<u32>(attribute), *value, fetch);
  });
}

CUresult cuKernelSetAttribute(CUfunction_attribute attribute, int value, CUkernel kernel, CUdevice device) {
  return with_kernel(kernel, [&](Callable& found, u64 handle) -> CUresult {
    const u32 number = static_cast<u32>(attribute);
    if (number >= CallableFacts::kAttributes) return CUDA_ERROR_INVALID_VALUE;
    CUresult result = CUDA_SUCCESS;
    if (!find_device(device, result)) return result;
    const auto set = [&] {
      return ask<call::cuKernelSetAttribute>(any_context_index(), {{handle}, number, value, device, 0});
    };
    // Devices may differ; what is known is of the first one.
    if (device == 0) return set_attribute(found, number, value, set);
    result = set();
    forget_facts(found);
    return result;
  });
}

CUresult cuKernelSetCacheConfig(CUkernel kernel, CUfunc_cache config, CUdevice device) {
  return with_kernel(kernel, [&](Callable& found, u64 handle) -> CUresult {
    if (static_cast<u32>(config) > CU_FUNC_CACHE_PREFER_EQUAL) return CUDA_ERROR_INVALID_VALUE;
    CUresult result = CUDA_SUCCESS;
    if (!find_device(device, result)) return result;
    forget_facts(found);
    return post<call::cuKernelSetCacheConfig>(any_context_index(), {{handle}, static_cast<u32>(config), device});
  });
}

CUresult cuKernelGetName(const char** name, CUkernel kernel) {
  return with_kernel(kernel, [&](Callable& found, u64) {
    if (!name) return CUDA_ERROR_INVALID_VALUE;
    *name = found.name.c_str();
    return CUDA_SUCCESS;
  });
}

CUresult cuKernelGetParamInfo(CUkernel kernel, size_t index, size_t* offset, size_t* size) {
  return with_kernel(kernel, [&](Callable& found, u64) {
    if (!offset || index >= found.parameters.size()) return CUDA_ERROR_INVALID_VALUE;
    *offset = found.parameters[index].offset;
    if (size) *size = found.parameters[index].size;
    return CUDA_SUCCESS;
  });
}
