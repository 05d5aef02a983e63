// Modules.
#include <cstdlib>

#include "shim/callable.hpp"
#include "shim/load.hpp"

using namespace vgpu::shim;

namespace {

CUresult load_module(CUmodule* out, const void* image, unsigned count, CUjit_option* options, void** values) {
  return with_context([&](Context& context) -> CUresult {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    ImageParts parts;
    CUresult result = measure_image(image, parts);
    if (result != CUDA_SUCCESS) return result;
    JitOptions jit;
    result = jit.read(count, options, values);
    if (result != CUDA_SUCCESS) return result;
    const auto minted = state().modules.mint();
    if (!minted.object) return CUDA_ERROR_OUT_OF_MEMORY;
    minted.object->context = context.handle;
    result = load_image<call::cuModuleLoadData>(context.index(), minted.handle, parts, jit);
    if (result != CUDA_SUCCESS) {
      state().modules.release(minted.handle.value);
      return result;
    }
    *out = reinterpret_cast<CUmodule>(minted.handle.value);
    return CUDA_SUCCESS;
  });
}

/// Runs f(module, handle, index of its context); a library passed as a module means the library's module.
template <typename F>
CUresult with_module(CUmodule module, F&& f) noexcept {
  return with_context([&](Context& context) -> CUresult {
    u64 handle = reinterpret_cast<u64>(module);
    if (state().libraries.find(handle))
      if (const CUresult result = library_module(context, handle, handle); result != CUDA_SUCCESS) return result;
    Module* found = state().modules.find(handle);
    if (!found) return CUDA_ERROR_INVALID_HANDLE;
    return f(*found, handle, vgpu::protocol::ContextHandle{found->context}.index());
  });
}

}  // namespace

CUresult cuModuleLoadData(CUmodule* module, const void* image) {
  return load_module(module, image, 0, nullptr, nullptr);
}

CUresult cuModuleLoadDataEx(CUmodule* module, const void* image, unsigned int count, CUjit_option* options,
                            void** values) {
  return load_module(module, image, count, options, values);
}

CUresult cuModuleLoadFatBinary(CUmodule* module, const void* image) {
  return load_module(module, image, 0, nullptr, nullptr);
}

CUresult cuModuleLoad(CUmodule* module, const char* path) {
  return with_context([&](Context&) -> CUresult {
    if (!module) return CUDA_ERROR_INVALID_VALUE;
    std::vector<std::byte> memory;
    const CUresult result = read_image_file(path, memory);
    return result == CUDA_SUCCESS ? load_module(module, memory.data(), 0, nullptr, nullptr) : result;
  });
}

CUresult cuModuleUnload(CUmodule module) {
  return guarded([&]() -> CUresult {
    const u64 handle = reinterpret_cast<u64>(module);
    const Module* found = state().modules.find(handle);
    // A library's module goes with its library.
    if (!found || found->library != 0) return CUDA_ERROR_INVALID_HANDLE;
    const CUresult result =
        ask<call::cuModuleUnload>(vgpu::protocol::ContextHandle{found->context}.index(), {{handle}});
    forget_module(handle);
    return result;
  });
}

CUresult cuModuleGetLoadingMode(CUmoduleLoadingMode* mode) {
  return guarded([&] {
    if (!mode) return CUDA_ERROR_INVALID_VALUE;
    // The executor's driver loads lazily, its default.
    *mode = CU_MODULE_LAZY_LOADING;
    return CUDA_SUCCESS;
  });
}

CUresult cuModuleGetFunction(CUfunction* out, CUmodule module, const char* name) {
  return with_module(module, [&](Module&, u64 handle, u32) -> CUresult {
    if (!out || !name || !*name) return CUDA_ERROR_INVALID_VALUE;
    u64 function = 0;
    const CUresult result = module_function(handle, name, function);
    if (result == CUDA_SUCCESS) *out = reinterpret_cast<CUfunction>(function);
    return result;
  });
}

CUresult cuModuleGetGlobal(CUdeviceptr* pointer, size_t* bytes, CUmodule module, const char* name) {
  return with_module(module, [&](Module& found, u64 handle, u32 context) -> CUresult {
    if ((!pointer && !bytes) || !name) return CUDA_ERROR_INVALID_VALUE;
    std::span<const std::byte> tail;
    CUresult result = name_tail(name, tail);
    if (result != CUDA_SUCCESS) return result;
    call::cuModuleGetGlobal::Reply reply{};
    result = ask<call::cuModuleGetGlobal>(context, {{handle}}, &reply, tail);
    if (result != CUDA_SUCCESS) return result;
    remember_variable(found, static_cast<u64>(reply.pointer), reply.bytes, found.context);
    if (pointer) *pointer = static_cast<CUdeviceptr>(reply.pointer);
    if (bytes) *bytes = reply.bytes;
    return CUDA_SUCCESS;
  });
}

static CUresult function_names(CUmodule module, std::vector<std::string>& names, u64& handle) {
  return with_module(module, [&](Module&, u64 found, u32 context) {
    handle = found;
    return read_names<call::vgpuModuleFunctionNames>(context, vgpu::protocol::ModuleHandle{found}, names);
  });
}

CUresult cuModuleGetFunctionCount(unsigned int* count, CUmodule module) {
  return guarded([&]() -> CUresult {
    if (!count) return CUDA_ERROR_INVALID_VALUE;
    std::vector<std::string> names;
    u64 handle = 0;
    const CUresult result = function_names(module, names, handle);
    if (result == CUDA_SUCCESS) *count = static_cast<unsigned>(names.size());
    return result;
  });
}

CUresult cuModuleEnumerateFunctions(CUfunction* functions, unsigned int room, CUmodule module) {
  return guarded([&]() -> CUresult {
    if (!functions || room == 0) return CUDA_ERROR_INVALID_VALUE;
    std::vector<std::string> names;
    u64 handle = 0;
    CUresult result = function_names(module, names, handle);
    for (unsigned i = 0; result == CUDA_SUCCESS && i < room && i < names.size(); ++i) {
      u64 function = 0;
      result = module_function(handle, names[i].c_str(), function);
      functions[i] = reinterpret_cast<CUfunction>(function);
    }
    return result;
  });
}
