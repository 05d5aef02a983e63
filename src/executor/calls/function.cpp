#include "executor/callable.hpp"
#include "executor/enum_range.hpp"

namespace vgpu::executor {

using namespace protocol;

VGPU_HANDLER(cuKernelGetFunction) {
  const auto kernel = in.session.handles.find<CUkernel>(request.kernel);
  if (kernel == nullptr || !in.session.handles.accepts(request.function)) return CUDA_ERROR_INVALID_HANDLE;
  CUfunction function = nullptr;
  const CUresult result = in.cuda.cuKernelGetFunction(&function, kernel);
  if (result == CUDA_SUCCESS) in.session.handles.put(request.function, function);
  return result;
}

VGPU_HANDLER(cuKernelGetAttribute) {
  CUfunction_attribute attribute{};
  if (!to_enum<CU_FUNC_ATTRIBUTE_MAX>(request.attribute, attribute)) return CUDA_ERROR_INVALID_VALUE;
  CUdevice device = 0;
  if (!in.session.device(request.device, device)) return CUDA_ERROR_INVALID_DEVICE;
  const auto kernel = in.session.handles.find<CUkernel>(request.kernel);
  if (kernel == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  return in.cuda.cuKernelGetAttribute(&reply.value, attribute, kernel, device);
}

VGPU_HANDLER(cuKernelSetAttribute) {
  CUfunction_attribute attribute{};
  if (!to_enum<CU_FUNC_ATTRIBUTE_MAX>(request.attribute, attribute)) return CUDA_ERROR_INVALID_VALUE;
  CUdevice device = 0;
  if (!in.session.device(request.device, device)) return CUDA_ERROR_INVALID_DEVICE;
  const auto kernel = in.session.handles.find<CUkernel>(request.kernel);
  if (kernel == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  return in.cuda.cuKernelSetAttribute(attribute, request.value, kernel, device);
}

VGPU_HANDLER(cuKernelSetCacheConfig) {
  CUfunc_cache config{};
  if (!to_enum<CU_FUNC_CACHE_PREFER_EQUAL>(request.config, config)) return CUDA_ERROR_INVALID_VALUE;
  CUdevice device = 0;
  if (!in.session.device(request.device, device)) return CUDA_ERROR_INVALID_DEVICE;
  const auto kernel = in.session.handles.find<CUkernel>(request.kernel);
  if (kernel == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  return in.cuda.cuKernelSetCacheConfig(kernel, config, device);
}

VGPU_HANDLER(cuFuncGetAttribute) {
  CUfunction_attribute attribute{};
  if (!to_enum<CU_FUNC_ATTRIBUTE_MAX>(request.attribute, attribute)) return CUDA_ERROR_INVALID_VALUE;
  CUfunction function = nullptr;
  const CUresult result = find_function(in, request.function, function);
  if (result != CUDA_SUCCESS) return result;
  return in.cuda.cuFuncGetAttribute(&reply.value, attribute, function);
}

VGPU_HANDLER(cuFuncSetAttribute) {
  CUfunction_attribute attribute{};
  if (!to_enum<CU_FUNC_ATTRIBUTE_MAX>(request.attribute, attribute)) return CUDA_ERROR_INVALID_VALUE;
  CUfunction function = nullptr;
  const CUresult result = find_function(in, request.function, function);
  if (result != CUDA_SUCCESS) return result;
  return in.cuda.cuFuncSetAttribute(function, attribute, request.value);
}

VGPU_HANDLER(cuFuncSetCacheConfig) {
  CUfunc_cache config{};
  if (!to_enum<CU_FUNC_CACHE_PREFER_EQUAL>(request.config, config)) return CUDA_ERROR_INVALID_VALUE;
  CUfunction function = nullptr;
  const CUresult result = find_function(in, request.function, function);
  if (result != CUDA_SUCCESS) return result;
  return in.cuda.cuFuncSetCacheConfig(function, config);
}

VGPU_HANDLER(cuFuncGetParamInfo) {
  std::size_t offset = 0;
  std::size_t size = 0;
  CUresult result = CUDA_ERROR_INVALID_HANDLE;
  const FunctionHandle plain{request.function.value};
  if (plain.well_formed()) {
    if (const auto function = in.session.handles.find<CUfunction>(plain); function != nullptr)
      result = in.cuda.cuFuncGetParamInfo(function, request.index, &offset, &size);
  } else if (const auto kernel = in.session.handles.find<CUkernel>(KernelHandle{request.function.value});
             kernel != nullptr) {
    result = in.cuda.cuKernelGetParamInfo(kernel, request.index, &offset, &size);
  }
  reply.offset = offset;
  reply.size = size;
  return result;
}

VGPU_HANDLER(cuFuncLoad) {
  CUfunction function = nullptr;
  const CUresult result = find_function(in, request.function, function);
  return result == CUDA_SUCCESS ? in.cuda.cuFuncLoad(function) : result;
}

VGPU_HANDLER(cuFuncIsLoaded) {
  CUfunction function = nullptr;
  CUresult result = find_function(in, request.function, function);
  if (result != CUDA_SUCCESS) return result;
  CUfunctionLoadingState state{};
  result = in.cuda.cuFuncIsLoaded(&state, function);
  reply.state = static_cast<u64>(state);
  return result;
}

}  // namespace vgpu::executor
