// Libraries: modules without a context of their own.
#include "shim/callable.hpp"
#include "shim/load.hpp"

namespace vgpu::shim {

CUresult library_module(const Context& context, u64 library_handle, u64& handle) {
  State& s = state();
  Library* library = s.libraries.find(library_handle);
  if (!library) return CUDA_ERROR_INVALID_HANDLE;
  {
    std::lock_guard lock(library->mutex);
    if (const auto found = library->modules.find(context.handle); found != library->modules.end()) {
      handle = found->second;
      return CUDA_SUCCESS;
    }
  }
  const auto minted = s.modules.mint();
  if (!minted.object) return CUDA_ERROR_OUT_OF_MEMORY;
  minted.object->context = context.handle;
  minted.object->library = library_handle;
  const CUresult result = ask<call::cuLibraryGetModule>(context.index(), {{library_handle}, minted.handle});
  if (result != CUDA_SUCCESS) {
    s.modules.release(minted.handle.value);
    return result;
  }
  std::lock_guard lock(library->mutex);
  handle = library->modules.try_emplace(context.handle, minted.handle.value).first->second;
  return CUDA_SUCCESS;
}

}  // namespace vgpu::shim

using namespace vgpu::shim;

namespace {

template <typename F>
CUresult with_library(CUlibrary library, F&& f) noexcept {
  return guarded([&]() -> CUresult {
    const u64 handle = reinterpret_cast<u64>(library);
    Library* found = state().libraries.find(handle);
    return found ? f(*found, handle) : CUDA_ERROR_INVALID_HANDLE;
  });
}

}  // namespace

CUresult cuLibraryLoadData(CUlibrary* out, const void* code, CUjit_option* jit_options, void** jit_values,
                           unsigned int jit_count, CUlibraryOption* options, void**, unsigned int count) {
  return guarded([&]() -> CUresult {
    if (!out || (count != 0 && !options)) return CUDA_ERROR_INVALID_VALUE;
    // Both options are hints about the program's own memory, which the executor never sees.
    for (unsigned i = 0; i < count; ++i)
      if (static_cast<u32>(options[i]) >= CU_LIBRARY_NUM_OPTIONS) return CUDA_ERROR_INVALID_VALUE;
    ImageParts parts;
    CUresult result = measure_image(code, parts);
    if (result != CUDA_SUCCESS) return result;
    JitOptions jit;
    result = jit.read(jit_count, jit_options, jit_values);
    if (result != CUDA_SUCCESS) return result;
    const auto minted = state().libraries.mint();
    if (!minted.object) return CUDA_ERROR_OUT_OF_MEMORY;
    result = load_image<call::cuLibraryLoadData>(any_context_index(), minted.handle, parts, jit);
    if (result != CUDA_SUCCESS) {
      state().libraries.release(minted.handle.value);
      return result;
    }
    *out = reinterpret_cast<CUlibrary>(minted.handle.value);
    return CUDA_SUCCESS;
  });
}

CUresult cuLibraryLoadFromFile(CUlibrary* out, const char* path, CUjit_option* jit_options, void** jit_values,
                               unsigned int jit_count, CUlibraryOption* options, void** values, unsigned int count) {
  return guarded([&]() -> CUresult {
    std::vector<std::byte> memory;
    const CUresult result = read_image_file(path, memory);
    if (result != CUDA_SUCCESS) return result;
    return cuLibraryLoadData(out, memory.data(), jit_options, jit_values, jit_count, options, values, count);
  });
}

CUresult cuLibraryUnload(CUlibrary library) {
  return with_library(library, [&](Library& found, u64 handle) -> CUresult {
    State& s = state();
    const CUresult result = ask<call::cuLibraryUnload>(any_context_index(), {{handle}});
    for (const auto& [name, kernel] : found.kernels) {
      if (const Callable* object = s.kernels.find(kernel))
        for (const auto& [context, function] : object->functions) s.functions.release(function);
      s.kernels.release(kernel);
    }
    for (const u64 kernel : found.spare) s.kernels.release(kernel);
    for (const auto& [context, module] : found.modules) forget_module(module);
    for (const u64 variable : found.globals) s.allocations.remove(variable, Allocation::Kind::variable);
    s.libraries.release(handle);
    return result;
  });
}

CUresult cuLibraryGetKernel(CUkernel* out, CUlibrary library, const char* name) {
  return with_library(library, [&](Library&, u64 handle) -> CUresult {
    if (!out || !name || !*name) return CUDA_ERROR_INVALID_VALUE;
    u64 kernel = 0;
    const CUresult result = library_kernel(handle, name, kernel);
    if (result == CUDA_SUCCESS) *out = reinterpret_cast<CUkernel>(kernel);
    return result;
  });
}

CUresult cuLibraryGetModule(CUmodule* out, CUlibrary library) {
  return with_context([&](Context& context) -> CUresult {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    u64 module = 0;
    const CUresult result = library_module(context, reinterpret_cast<u64>(library), module);
    if (result == CUDA_SUCCESS) *out = reinterpret_cast<CUmodule>(module);
    return result;
  });
}

CUresult cuLibraryGetGlobal(CUdeviceptr* pointer, size_t* bytes, CUlibrary library, const char* name) {
  return with_context([&](Context& context) -> CUresult {
    const u64 handle = reinterpret_cast<u64>(library);
    Library* found = state().libraries.find(handle);
    if (!found) return CUDA_ERROR_INVALID_HANDLE;
    if ((!pointer && !bytes) || !name) return CUDA_ERROR_INVALID_VALUE;
    std::span<const std::byte> tail;
    CUresult result = name_tail(name, tail);
    if (result != CUDA_SUCCESS) return result;
    call::cuLibraryGetGlobal::Reply reply{};
    result = ask<call::cuLibraryGetGlobal>(context.index(), {{handle}}, &reply, tail);
    if (result != CUDA_SUCCESS) return result;
    remember_variable(*found, static_cast<u64>(reply.pointer), reply.bytes, context.handle);
    if (pointer) *pointer = static_cast<CUdeviceptr>(reply.pointer);
    if (bytes) *bytes = reply.bytes;
    return CUDA_SUCCESS;
  });
}

CUresult cuLibraryGetKernelCount(unsigned int* count, CUlibrary library) {
  return with_library(library, [&](Library&, u64 handle) -> CUresult {
    if (!count) return CUDA_ERROR_INVALID_VALUE;
    std::vector<std::string> names;
    const CUresult result =
        read_names<call::vgpuLibraryKernelNames>(any_context_index(), vgpu::protocol::LibraryHandle{handle}, names);
    if (result == CUDA_SUCCESS) *count = static_cast<unsigned>(names.size());
    return result;
  });
}

CUresult cuLibraryEnumerateKernels(CUkernel* kernels, unsigned int room, CUlibrary library) {
  return with_library(library, [&](Library&, u64 handle) -> CUresult {
    if (!kernels || room == 0) return CUDA_ERROR_INVALID_VALUE;
    std::vector<std::string> names;
    CUresult result =
        read_names<call::vgpuLibraryKernelNames>(any_context_index(), vgpu::protocol::LibraryHandle{handle}, names);
    for (unsigned i = 0; result == CUDA_SUCCESS && i < room && i < names.size(); ++i) {
      u64 kernel = 0;
      result = library_kernel(handle, names[i].c_str(), kernel);
      kernels[i] = reinterpret_cast<CUkernel>(kernel);
    }
    return result;
  });
}
