#include "softgpu/guard.hpp"
#include "softgpu/library.hpp"

using namespace vgpu::softgpu;

namespace {

template <class Then>
CUresult with_function(CUfunction handle, Then&& then) {
  return with_context([&](Context& context) {
    std::shared_ptr<Function> function;
    if (const CUresult error = find_function(context, handle, function); error != CUDA_SUCCESS) return error;
    return static_cast<CUresult>(then(*function));
  });
}

}  // namespace

CUresult CUDAAPI cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction handle) {
  return with_function(handle, [&](Function& function) {
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return function.get_attribute(attribute, *value);
  });
}

CUresult CUDAAPI cuFuncSetAttribute(CUfunction handle, CUfunction_attribute attribute, int value) {
  return with_function(handle, [&](Function& function) { return function.set_attribute(attribute, value); });
}

CUresult CUDAAPI cuFuncSetCacheConfig(CUfunction handle, CUfunc_cache config) {
  return with_function(
      handle, [&](Function&) { return config > CU_FUNC_CACHE_PREFER_EQUAL ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS; });
}

CUresult CUDAAPI cuFuncSetSharedMemConfig(CUfunction handle, CUsharedconfig config) {
  return with_function(handle, [&](Function&) {
    return config > CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuFuncGetModule(CUmodule* module, CUfunction handle) {
  return with_function(handle, [&](Function& function) {
    if (module == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *module = function.module()->handle();
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuFuncGetName(const char** name, CUfunction handle) {
  return with_function(handle, [&](Function& function) {
    if (name == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *name = function.info().name.c_str();
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuFuncGetParamInfo(CUfunction handle, size_t index, size_t* offset, size_t* size) {
  return with_function(handle, [&](Function& function) { return get_parameter(function.info(), index, offset, size); });
}

CUresult CUDAAPI cuFuncLoad(CUfunction handle) {
  // A function is loaded when its handle exists.
  return with_function(handle, [](Function&) { return CUDA_SUCCESS; });
}

CUresult CUDAAPI cuFuncIsLoaded(CUfunctionLoadingState* state, CUfunction handle) {
  return with_function(handle, [&](Function&) {
    if (state == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *state = CU_FUNCTION_LOADING_STATE_LOADED;
    return CUDA_SUCCESS;
  });
}
