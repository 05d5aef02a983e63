#include "executor/callable.hpp"
#include "executor/image.hpp"
#include "executor/name_list.hpp"
#include "executor/room.hpp"

namespace vgpu::executor {

using namespace protocol;

VGPU_HANDLER(cuLibraryLoadData) {
  Room room(in, request.library);
  if (room.result() != CUDA_SUCCESS) return room.result();
  Image image;
  CUresult result = image.read(in, request);
  if (result != CUDA_SUCCESS) return result;
  CUlibrary library = nullptr;
  // A stored image stays where it is: the driver needn't copy it, and reads what the program uses.
  std::array preserved{CU_LIBRARY_BINARY_IS_PRESERVED};
  std::array<void*, 1> yes{reinterpret_cast<void*>(std::uintptr_t{1})};
  // Of no context: it lives until it is unloaded.
  result = in.session.memory.hold(image.device_bytes(), 0, [&](u64& key) {
    const CUresult loaded =
        in.cuda.cuLibraryLoadData(&library, image.bytes(), image.jit().options(), image.jit().values(),
                                  image.jit().count(), preserved.data(), yes.data(), image.stored() != nullptr ? 1 : 0);
    key = DeviceMemory::key_of(library);
    return loaded;
  });
  image.write(reply);
  if (result != CUDA_SUCCESS) return result;
  if (image.stored() != nullptr) {
    std::lock_guard lock(in.session.library_images_mutex);
    in.session.library_images[library] = image.stored();
  }
  room.put(library);
  return result;
}

VGPU_HANDLER(cuLibraryUnload) {
  const auto library = in.session.handles.take<CUlibrary>(request.library);
  if (library == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  // Out of the list first: as soon as the driver has let go of it, another one may get its place.
  std::unique_lock lock(in.session.library_images_mutex);
  auto image = in.session.library_images.extract(library);
  lock.unlock();
  const CUresult result =
      in.session.memory.let_go(DeviceMemory::key_of(library), [&] { return in.cuda.cuLibraryUnload(library); });
  if (result == CUDA_SUCCESS || image.empty()) return result;
  lock.lock();
  in.session.library_images.insert(std::move(image));  // the driver may still read it
  return result;
}

VGPU_HANDLER(cuLibraryGetKernel) {
  std::string name;
  if (!in.name(name)) return CUDA_ERROR_UNKNOWN;
  const auto library = in.session.handles.find<CUlibrary>(request.library);
  if (library == nullptr || !in.session.handles.accepts(request.kernel)) return CUDA_ERROR_INVALID_HANDLE;
  CUkernel kernel = nullptr;
  CUresult result = in.cuda.cuLibraryGetKernel(&kernel, library, name.c_str());
  if (result != CUDA_SUCCESS) return result;
  result = describe_parameters(reply, [&](std::size_t i, std::size_t* offset, std::size_t* size) {
    return in.cuda.cuKernelGetParamInfo(kernel, i, offset, size);
  });
  if (result == CUDA_SUCCESS) in.session.handles.put(request.kernel, kernel);
  return result;
}

VGPU_HANDLER(cuLibraryGetModule) {
  const auto library = in.session.handles.find<CUlibrary>(request.library);
  if (library == nullptr || !in.session.handles.vacant(request.module)) return CUDA_ERROR_INVALID_HANDLE;
  CUmodule module = nullptr;
  const CUresult result = in.cuda.cuLibraryGetModule(&module, library);
  if (result != CUDA_SUCCESS) return result;
  return in.session.handles.put(request.module, module) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

VGPU_HANDLER(cuLibraryGetGlobal) {
  std::string name;
  if (!in.name(name)) return CUDA_ERROR_UNKNOWN;
  const auto library = in.session.handles.find<CUlibrary>(request.library);
  if (library == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  CUdeviceptr pointer = 0;
  std::size_t bytes = 0;
  const CUresult result = in.cuda.cuLibraryGetGlobal(&pointer, &bytes, library, name.c_str());
  reply.pointer = Pointer{pointer};
  reply.bytes = bytes;
  return result;
}

VGPU_HANDLER(vgpuLibraryKernelNames) {
  const auto library = in.session.handles.find<CUlibrary>(request.library);
  if (library == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  unsigned count = 0;
  CUresult result = in.cuda.cuLibraryGetKernelCount(&count, library);
  if (result != CUDA_SUCCESS) return result;
  std::vector<CUkernel> kernels(count);
  if (count != 0) result = in.cuda.cuLibraryEnumerateKernels(kernels.data(), count, library);
  if (result != CUDA_SUCCESS) return result;
  return write_names(in, request, reply, kernels, in.cuda.cuKernelGetName);
}

}  // namespace vgpu::executor
