#include <string>

#include "softgpu/guard.hpp"
#include "softgpu/image.hpp"
#include "softgpu/jit_options.hpp"
#include "softgpu/library.hpp"
#include "softgpu/log.hpp"
#include "softgpu/module.hpp"

using namespace vgpu::softgpu;

namespace {

CUresult load(Context& context, CUmodule* handle, Image image, const JitOptions& options) {
  if (image.result != CUDA_SUCCESS) {
    log_text(LogLevel::error, image.message);
    options.finish(image.message);
    return image.result;
  }
  std::unique_ptr<ptx::Module> code;
  std::string message;
  CUresult result = compile_ptx(image.ptx, code, message);
  std::shared_ptr<Module> module;
  if (result == CUDA_SUCCESS) result = Module::load(context, std::move(code), false, module);
  options.finish(message);
  if (result == CUDA_SUCCESS) *handle = module->handle();
  return result;
}

/// The module of a handle; a library's handle stands for its module in the current context, as in NVIDIA's driver.
template <class Then>
CUresult with_module(CUmodule handle, Then&& then) {
  return with_context([&](Context& context) {
    std::shared_ptr<Module> module = driver().modules.find(handle);
    if (module == nullptr) {
      const auto library = driver().libraries.find(reinterpret_cast<CUlibrary>(handle));
      if (library == nullptr) return CUDA_ERROR_INVALID_HANDLE;
      if (const CUresult error = library->module_in(context, module); error != CUDA_SUCCESS) return error;
    }
    return static_cast<CUresult>(then(*module));
  });
}

}  // namespace

CUresult CUDAAPI cuModuleLoad(CUmodule* module, const char* path) {
  return with_context([&](Context& context) {
    if (module == nullptr || path == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::string bytes;
    if (const CUresult error = read_file(path, bytes); error != CUDA_SUCCESS) return error;
    return load(context, module, read_image(std::as_bytes(std::span(bytes))), JitOptions());
  });
}

CUresult CUDAAPI cuModuleLoadData(CUmodule* module, const void* image) {
  return cuModuleLoadDataEx(module, image, 0, nullptr, nullptr);
}

CUresult CUDAAPI cuModuleLoadDataEx(CUmodule* module, const void* image, unsigned int option_count,
                                    CUjit_option* options, void** values) {
  return with_context([&](Context& context) {
    if (module == nullptr || image == nullptr) return CUDA_ERROR_INVALID_VALUE;
    JitOptions parsed;
    if (const CUresult error = JitOptions::parse(option_count, options, values, parsed); error != CUDA_SUCCESS)
      return error;
    return load(context, module, read_image(image), parsed);
  });
}

CUresult CUDAAPI cuModuleLoadFatBinary(CUmodule* module, const void* image) {
  return cuModuleLoadDataEx(module, image, 0, nullptr, nullptr);
}

CUresult CUDAAPI cuModuleUnload(CUmodule handle) {
  return with_context([&](Context&) {
    const auto module = driver().modules.find(handle);
    if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (module->of_library()) return CUDA_ERROR_NOT_PERMITTED;
    forget_module(*module);
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuModuleGetLoadingMode(CUmoduleLoadingMode* mode) {
  return with_driver([&](Driver&) {
    if (mode == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *mode = CU_MODULE_EAGER_LOADING;
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuModuleGetFunction(CUfunction* function, CUmodule handle, const char* name) {
  return with_module(handle, [&](Module& module) {
    if (function == nullptr || name == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return module.function(name, *function);
  });
}

CUresult CUDAAPI cuModuleGetFunctionCount(unsigned int* count, CUmodule handle) {
  return with_module(handle, [&](Module& module) {
    if (count == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *count = static_cast<unsigned>(module.code().kernels().size());
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuModuleEnumerateFunctions(CUfunction* functions, unsigned int count, CUmodule handle) {
  return with_module(handle, [&](Module& module) {
    if (functions == nullptr || count == 0) return CUDA_ERROR_INVALID_VALUE;
    unsigned given = 0;
    const std::size_t kernels = module.code().kernels().size();
    for (std::uint32_t i = 0; i < kernels && given < count; ++i) {
      if (const CUresult error = module.function(i, nullptr, functions[given]); error != CUDA_SUCCESS) return error;
      ++given;
    }
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuModuleGetGlobal(CUdeviceptr* address, size_t* bytes, CUmodule handle, const char* name) {
  return with_module(handle, [&](Module& module) {
    if (name == nullptr || (address == nullptr && bytes == nullptr)) return CUDA_ERROR_INVALID_VALUE;
    const ptx::Variable* variable = module.variable(name);
    if (variable == nullptr) return CUDA_ERROR_NOT_FOUND;
    if (address != nullptr) *address = variable->address;
    if (bytes != nullptr) *bytes = variable->bytes;
    return CUDA_SUCCESS;
  });
}
