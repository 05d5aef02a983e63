#include <span>
#include <string>
#include <vector>

#include "softgpu/guard.hpp"
#include "softgpu/image.hpp"
#include "softgpu/jit_options.hpp"
#include "softgpu/linker.hpp"
#include "softgpu/log.hpp"
#include "softgpu/module.hpp"
#include "softgpu/ptx/merge.hpp"

/// cuLink*: texts of PTX become one, which cuModuleLoadData takes. Machine code can't be linked.
using namespace vgpu::softgpu;

namespace {

/// Never destroyed: threads may still link while the process ends.
HandleTable<Linker, HandleKind::linker, CUlinkState>& linkers() {
  static auto& table = *new HandleTable<Linker, HandleKind::linker, CUlinkState>;
  return table;
}

CUresult fail(const Linker& linker, CUresult result, const std::string& message) {
  log_text(LogLevel::error, message);
  linker.options.finish(message);
  return result;
}

template <class Then>
CUresult with_linker(CUlinkState state, Then&& then) {
  return with_healthy_driver([&](Driver&) {
    const auto linker = linkers().find(state);
    if (linker == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const std::lock_guard lock(linker->mutex);
    return static_cast<CUresult>(then(*linker));
  });
}

CUresult add(Linker& linker, CUjitInputType type, std::span<const std::byte> bytes, const char* name) {
  if (linker.complete) return CUDA_ERROR_INVALID_VALUE;
  const std::string_view named = name != nullptr ? name : "<unnamed>";
  switch (type) {
    case CU_JIT_INPUT_PTX:
    case CU_JIT_INPUT_FATBINARY:
      break;
    case CU_JIT_INPUT_CUBIN:
    case CU_JIT_INPUT_OBJECT:
    case CU_JIT_INPUT_LIBRARY:
    case CU_JIT_INPUT_NVVM:
      return fail(linker, CUDA_ERROR_NO_BINARY_FOR_GPU,
                  fmt::format("link refused reason=\"only PTX can be linked\" input={} type={}", named,
                              static_cast<int>(type)));
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
  Image image = read_image(bytes);
  if (image.result != CUDA_SUCCESS) return fail(linker, image.result, image.message);
  linker.texts.push_back(std::move(image.ptx));
  return CUDA_SUCCESS;
}

CUresult check_options(unsigned count, CUjit_option* options, void** values) {
  JitOptions ignored;  // those of one input only steer machine code
  return JitOptions::parse(count, options, values, ignored);
}

}  // namespace

CUresult CUDAAPI cuLinkCreate(unsigned int count, CUjit_option* options, void** values, CUlinkState* state) {
  return with_context([&](Context&) {
    if (state == nullptr) return CUDA_ERROR_INVALID_VALUE;
    auto linker = std::make_shared<Linker>();
    const CUresult error = JitOptions::parse(count, options, values, linker->options);
    if (error != CUDA_SUCCESS) return error;
    *state = linkers().insert(std::move(linker));
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuLinkAddData(CUlinkState state, CUjitInputType type, void* data, size_t size, const char* name,
                               unsigned int count, CUjit_option* options, void** values) {
  return with_linker(state, [&](Linker& linker) {
    if (data == nullptr || size == 0) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult error = check_options(count, options, values); error != CUDA_SUCCESS) return error;
    return add(linker, type, {static_cast<const std::byte*>(data), size}, name);
  });
}

CUresult CUDAAPI cuLinkAddFile(CUlinkState state, CUjitInputType type, const char* path, unsigned int count,
                               CUjit_option* options, void** values) {
  return with_linker(state, [&](Linker& linker) {
    if (path == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult error = check_options(count, options, values); error != CUDA_SUCCESS) return error;
    std::string bytes;
    if (const CUresult error = read_file(path, bytes); error != CUDA_SUCCESS) return error;
    return add(linker, type, std::as_bytes(std::span(bytes)), path);
  });
}

CUresult CUDAAPI cuLinkComplete(CUlinkState state, void** image, size_t* size) {
  return with_linker(state, [&](Linker& linker) {
    if (image == nullptr || linker.texts.empty() || linker.complete) return CUDA_ERROR_INVALID_VALUE;
    auto merged = ptx::merge(linker.texts);
    if (const auto* why = std::get_if<ptx::Diagnostic>(&merged)) {
      return fail(linker, CUDA_ERROR_NO_BINARY_FOR_GPU,
                  fmt::format("link refused reason=\"{}\" line={} column={}", why->message, why->line, why->column));
    }
    linker.image = std::move(std::get<std::string>(merged));
    std::unique_ptr<ptx::Module> code;
    std::string message;
    const CUresult result = compile_ptx(linker.image, code, message);
    linker.options.finish(message);
    if (result != CUDA_SUCCESS) return result;
    linker.complete = true;
    *image = linker.image.data();
    if (size != nullptr) *size = linker.image.size() + 1;
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuLinkDestroy(CUlinkState state) {
  return with_healthy_driver(
      [&](Driver&) { return linkers().remove(state) != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE; });
}
