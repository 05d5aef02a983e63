// What programs ask about functions.
#include "shim/callable.hpp"

using namespace vgpu::shim;

namespace {

/// Runs f(context, callable, handle). Programs pass kernels here, too.
template <typename F>
CUresult with_function(CUfunction function, F&& f) noexcept {
  return with_context([&](Context& context) -> CUresult {
    const u64 handle = reinterpret_cast<u64>(function);
    Callable* found = find_callable(handle);
    return found ? f(context, *found, handle) : CUDA_ERROR_INVALID_HANDLE;
  });
}

}  // namespace

CUresult cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction function) {
  return with_function(function, [&](Context& context, Callable& found, u64 handle) {
    if (!value) return CUDA_ERROR_INVALID_VALUE;
    return function_attribute(context.index(), handle, found, static_cast<u32>(attribute), *value);
  });
}

CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value) {
  return with_function(function, [&](Context& context, Callable& found, u64 handle) -> CUresult {
    const u32 number = static_cast<u32>(attribute);
    return set_attribute(found, number, value, [&] {
      return ask<call::cuFuncSetAttribute>(context.index(), {{handle}, number, value});
    });
  });
}

CUresult cuFuncSetCacheConfig(CUfunction function, CUfunc_cache config) {
  return with_function(function, [&](Context& context, Callable& found, u64 handle) -> CUresult {
    if (static_cast<u32>(config) > CU_FUNC_CACHE_PREFER_EQUAL) return CUDA_ERROR_INVALID_VALUE;
    forget_facts(found);
    return post<call::cuFuncSetCacheConfig>(context.index(), {{handle}, static_cast<u32>(config), 0});
  });
}

// Bank sizes are fixed on every GPU since Maxwell; the driver accepts this and changes nothing.
CUresult cuFuncSetSharedMemConfig(CUfunction function, CUsharedconfig config) {
  return with_function(function, [&](Context&, Callable&, u64) {
    return static_cast<u32>(config) <= CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE ? CUDA_SUCCESS
                                                                                 : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuFuncGetName(const char** name, CUfunction function) {
  return with_function(function, [&](Context&, Callable& found, u64) {
    if (!name) return CUDA_ERROR_INVALID_VALUE;
    *name = found.name.c_str();
    return CUDA_SUCCESS;
  });
}

CUresult cuFuncGetModule(CUmodule* out, CUfunction function) {
  return with_function(function, [&](Context& context, Callable& found, u64) -> CUresult {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    u64 module = found.module;
    if (module == 0)
      if (const CUresult result = library_module(context, found.library, module); result != CUDA_SUCCESS) return result;
    *out = reinterpret_cast<CUmodule>(module);
    return CUDA_SUCCESS;
  });
}

CUresult cuFuncGetParamInfo(CUfunction function, size_t index, size_t* offset, size_t* size) {
  return with_function(function, [&](Context&, Callable& found, u64) {
    if (!offset || index >= found.parameters.size()) return CUDA_ERROR_INVALID_VALUE;
    *offset = found.parameters[index].offset;
    if (size) *size = found.parameters[index].size;
    return CUDA_SUCCESS;
  });
}

CUresult cuFuncIsLoaded(CUfunctionLoadingState* loading, CUfunction function) {
  return with_function(function, [&](Context& context, Callable&, u64 handle) -> CUresult {
    if (!loading) return CUDA_ERROR_INVALID_VALUE;
    call::cuFuncIsLoaded::Reply reply{};
    const CUresult result = ask<call::cuFuncIsLoaded>(context.index(), {{handle}}, &reply);
    if (result == CUDA_SUCCESS) *loading = static_cast<CUfunctionLoadingState>(reply.state);
    return result;
  });
}

CUresult cuFuncLoad(CUfunction function) {
  return with_function(function, [&](Context& context, Callable&, u64 handle) {
    return ask<call::cuFuncLoad>(context.index(), {{handle}});
  });
}
