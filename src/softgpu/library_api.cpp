#include <string>

#include "softgpu/fatbin.hpp"
#include "softgpu/guard.hpp"
#include "softgpu/image.hpp"
#include "softgpu/jit_options.hpp"
#include "softgpu/library.hpp"
#include "softgpu/log.hpp"

using namespace vgpu::softgpu;

namespace {

CUresult load(CUlibrary* handle, Image image, const JitOptions& options) {
  if (image.result != CUDA_SUCCESS) {
    log_text(LogLevel::error, image.message);
    options.finish(image.message);
    return image.result;
  }
  std::unique_ptr<ptx::Module> code;
  std::string message;
  const CUresult result = compile_ptx(image.ptx, code, message);
  options.finish(message);
  if (result != CUDA_SUCCESS) return result;
  auto library = std::make_shared<Library>(std::move(image.ptx), std::move(code));
  library->handle = driver().libraries.insert(library);
  *handle = library->handle;
  return CUDA_SUCCESS;
}

CUresult check_library_options(unsigned count, const CUlibraryOption* options) {
  if (count != 0 && options == nullptr) return CUDA_ERROR_INVALID_VALUE;
  for (unsigned i = 0; i < count; ++i) {
    switch (options[i]) {
      case CU_LIBRARY_BINARY_IS_PRESERVED:  // the text is copied whatever the caller does with its own
        break;
      case CU_LIBRARY_HOST_UNIVERSAL_FUNCTION_AND_DATA_TABLE:  // for managed variables and host functions: there are
                                                               // none
        break;
      default:
        return CUDA_ERROR_INVALID_VALUE;
    }
  }
  return CUDA_SUCCESS;
}

template <class Then>
CUresult with_library(CUlibrary handle, Then&& then) {
  return with_healthy_driver([&](Driver& self) {
    const auto library = self.libraries.find(handle);
    if (library == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    return static_cast<CUresult>(then(*library));
  });
}

template <class Then>
CUresult with_kernel(CUkernel handle, Then&& then) {
  return with_healthy_driver([&](Driver& self) {
    const auto kernel = self.kernels.find(handle);
    if (kernel == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    return static_cast<CUresult>(then(*kernel));
  });
}

}  // namespace

CUresult CUDAAPI cuLibraryLoadData(CUlibrary* library, const void* code, CUjit_option* jit_options, void** jit_values,
                                   unsigned int jit_count, CUlibraryOption* options, void**, unsigned int count) {
  return with_healthy_driver([&](Driver&) {
    if (library == nullptr || code == nullptr) return CUDA_ERROR_INVALID_VALUE;
    JitOptions parsed;
    if (const CUresult error = JitOptions::parse(jit_count, jit_options, jit_values, parsed); error != CUDA_SUCCESS) {
      return error;
    }
    if (const CUresult error = check_library_options(count, options); error != CUDA_SUCCESS) return error;
    return load(library, read_image(code), parsed);
  });
}

CUresult CUDAAPI cuLibraryLoadFromFile(CUlibrary* library, const char* path, CUjit_option* jit_options,
                                       void** jit_values, unsigned int jit_count, CUlibraryOption* options, void**,
                                       unsigned int count) {
  return with_healthy_driver([&](Driver&) {
    if (library == nullptr || path == nullptr) return CUDA_ERROR_INVALID_VALUE;
    JitOptions parsed;
    if (const CUresult error = JitOptions::parse(jit_count, jit_options, jit_values, parsed); error != CUDA_SUCCESS) {
      return error;
    }
    if (const CUresult error = check_library_options(count, options); error != CUDA_SUCCESS) return error;
    std::string bytes;
    if (const CUresult error = read_file(path, bytes); error != CUDA_SUCCESS) return error;
    return load(library, read_image(std::as_bytes(std::span(bytes))), parsed);
  });
}

CUresult CUDAAPI cuLibraryUnload(CUlibrary handle) {
  return with_healthy_driver([&](Driver& self) {
    const auto library = self.libraries.remove(handle);
    if (library == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    library->forget_all();
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuLibraryGetKernel(CUkernel* kernel, CUlibrary handle, const char* name) {
  return with_library(handle, [&](Library& library) {
    if (kernel == nullptr || name == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return library.kernel(name, *kernel);
  });
}

CUresult CUDAAPI cuLibraryGetKernelCount(unsigned int* count, CUlibrary handle) {
  return with_library(handle, [&](Library& library) {
    if (count == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *count = static_cast<unsigned>(library.kernels().size());
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuLibraryEnumerateKernels(CUkernel* kernels, unsigned int count, CUlibrary handle) {
  return with_library(handle, [&](Library& library) {
    if (kernels == nullptr || count == 0) return CUDA_ERROR_INVALID_VALUE;
    for (std::uint32_t i = 0; i < library.kernels().size() && i < count; ++i) {
      if (const CUresult error = library.kernel(i, kernels[i]); error != CUDA_SUCCESS) return error;
    }
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuLibraryGetModule(CUmodule* handle, CUlibrary library_handle) {
  return with_context([&](Context& context) {
    const auto library = driver().libraries.find(library_handle);
    if (library == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (handle == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::shared_ptr<Module> module;
    const CUresult result = library->module_in(context, module);
    if (result == CUDA_SUCCESS) *handle = module->handle();
    return result;
  });
}

namespace {

CUresult variable_in(Context& context, CUlibrary handle, const char* name, bool managed, CUdeviceptr* address,
                     size_t* bytes) {
  const auto library = driver().libraries.find(handle);
  if (library == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (name == nullptr || (address == nullptr && bytes == nullptr)) return CUDA_ERROR_INVALID_VALUE;
  std::shared_ptr<Module> module;
  if (const CUresult error = library->module_in(context, module); error != CUDA_SUCCESS) return error;
  const ptx::Variable* variable = module->variable(name);
  if (variable == nullptr || (managed && !variable->managed)) return CUDA_ERROR_NOT_FOUND;
  if (address != nullptr) *address = variable->address;
  if (bytes != nullptr) *bytes = variable->bytes;
  return CUDA_SUCCESS;
}

/// The current context, else device 0's primary one: the runtime asks for a program's managed variables before it has
/// made any context current, since the host may use them first.
std::shared_ptr<Context> context_for_managed(Driver& self) {
  const auto& stack = context_stack();
  if (!stack.empty() && stack.back() != nullptr) return stack.back();
  Device& first = self.device(0);
  const std::lock_guard lock(first.primary_mutex);
  if (!first.primary->active()) first.primary->activate();
  return first.primary;
}

}  // namespace

CUresult CUDAAPI cuLibraryGetGlobal(CUdeviceptr* address, size_t* bytes, CUlibrary handle, const char* name) {
  return with_context([&](Context& context) { return variable_in(context, handle, name, false, address, bytes); });
}

CUresult CUDAAPI cuLibraryGetManaged(CUdeviceptr* address, size_t* bytes, CUlibrary handle, const char* name) {
  return with_healthy_driver([&](Driver& self) {
    const auto context = context_for_managed(self);
    if (!context->active()) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    return variable_in(*context, handle, name, true, address, bytes);
  });
}

CUresult CUDAAPI cuLibraryGetUnifiedFunction(void** function, CUlibrary handle, const char* symbol) {
  return with_library(handle, [&](Library&) {
    if (function == nullptr || symbol == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return CUDA_ERROR_NOT_FOUND;
  });
}

CUresult CUDAAPI cuKernelGetFunction(CUfunction* function, CUkernel handle) {
  return with_context([&](Context& context) {
    const auto kernel = driver().kernels.find(handle);
    if (kernel == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (function == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return kernel->function_in(context, *function);
  });
}

CUresult CUDAAPI cuKernelGetLibrary(CUlibrary* library, CUkernel handle) {
  return with_kernel(handle, [&](Kernel& kernel) {
    if (library == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const auto owner = kernel.library();
    if (owner == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *library = owner->handle;
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuKernelGetName(const char** name, CUkernel handle) {
  return with_kernel(handle, [&](Kernel& kernel) {
    if (name == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *name = kernel.info().name.c_str();
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuKernelGetParamInfo(CUkernel handle, size_t index, size_t* offset, size_t* size) {
  return with_kernel(handle, [&](Kernel& kernel) { return get_parameter(kernel.info(), index, offset, size); });
}

CUresult CUDAAPI cuKernelGetAttribute(int* value, CUfunction_attribute attribute, CUkernel handle, CUdevice device) {
  return with_context([&](Context& context) {
    const auto kernel = driver().kernels.find(handle);
    if (kernel == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult error = check_device(device); error != CUDA_SUCCESS) return error;
    std::shared_ptr<Function> function;
    if (const CUresult error = kernel->function_in(context, function); error != CUDA_SUCCESS) return error;
    return function->get_attribute(attribute, *value);
  });
}

CUresult CUDAAPI cuKernelSetAttribute(CUfunction_attribute attribute, int value, CUkernel handle, CUdevice device) {
  return with_kernel(handle, [&](Kernel& kernel) {
    if (const CUresult error = check_device(device); error != CUDA_SUCCESS) return error;
    return set_function_attribute(kernel.settings(), kernel.info(), attribute, value);
  });
}

CUresult CUDAAPI cuKernelSetCacheConfig(CUkernel handle, CUfunc_cache config, CUdevice device) {
  return with_kernel(handle, [&](Kernel&) {
    if (const CUresult error = check_device(device); error != CUDA_SUCCESS) return error;
    return config > CU_FUNC_CACHE_PREFER_EQUAL ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
  });
}
