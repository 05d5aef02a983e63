#include "executor/callable.hpp"
#include "executor/image.hpp"
#include "executor/name_list.hpp"
#include "executor/room.hpp"

namespace vgpu::executor {

using namespace protocol;

VGPU_HANDLER(cuModuleLoadData) {
  Room room(in, request.module);
  if (room.result() != CUDA_SUCCESS) return room.result();
  Image image;
  CUresult result = image.read(in, request);
  if (result != CUDA_SUCCESS) return result;
  return in.session.memory.hold(image.device_bytes(), in.header.context, [&](u64& key) {
    CUmodule module = nullptr;
    result = in.cuda.cuModuleLoadDataEx(&module, image.bytes(), image.jit().count(), image.jit().options(),
                                        image.jit().values());
    image.write(reply);
    if (result == CUDA_SUCCESS) room.put(module);
    key = DeviceMemory::key_of(module);
    return result;
  });
}

VGPU_HANDLER(cuModuleUnload) {
  const auto module = in.session.handles.take<CUmodule>(request.module);
  if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  const CUresult result =
      in.session.memory.let_go(DeviceMemory::key_of(module), [&] { return in.cuda.cuModuleUnload(module); });
  in.session.kernel_text.look();
  return result;
}

VGPU_HANDLER(cuModuleGetFunction) {
  std::string name;
  if (!in.name(name)) return CUDA_ERROR_UNKNOWN;
  const auto module = in.session.handles.find<CUmodule>(request.module);
  if (module == nullptr || !in.session.handles.accepts(request.function)) return CUDA_ERROR_INVALID_HANDLE;
  CUfunction function = nullptr;
  CUresult result = in.cuda.cuModuleGetFunction(&function, module, name.c_str());
  if (result != CUDA_SUCCESS) return result;
  result = describe_parameters(reply, [&](std::size_t i, std::size_t* offset, std::size_t* size) {
    return in.cuda.cuFuncGetParamInfo(function, i, offset, size);
  });
  if (result == CUDA_SUCCESS) in.session.handles.put(request.function, function);
  return result;
}

VGPU_HANDLER(cuModuleGetGlobal) {
  std::string name;
  if (!in.name(name)) return CUDA_ERROR_UNKNOWN;
  const auto module = in.session.handles.find<CUmodule>(request.module);
  if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  CUdeviceptr pointer = 0;
  std::size_t bytes = 0;
  const CUresult result = in.cuda.cuModuleGetGlobal_v2(&pointer, &bytes, module, name.c_str());
  reply.pointer = Pointer{pointer};
  reply.bytes = bytes;
  return result;
}

VGPU_HANDLER(vgpuModuleFunctionNames) {
  const auto module = in.session.handles.find<CUmodule>(request.module);
  if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  unsigned count = 0;
  CUresult result = in.cuda.cuModuleGetFunctionCount(&count, module);
  if (result != CUDA_SUCCESS) return result;
  std::vector<CUfunction> functions(count);
  if (count != 0) result = in.cuda.cuModuleEnumerateFunctions(functions.data(), count, module);
  if (result != CUDA_SUCCESS) return result;
  return write_names(in, request, reply, functions, in.cuda.cuFuncGetName);
}

}  // namespace vgpu::executor
