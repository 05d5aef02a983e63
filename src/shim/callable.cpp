#include "shim/callable.hpp"

#include "shim/load.hpp"

namespace vgpu::shim {

Callable* find_callable(u64 handle) noexcept {
  if (Callable* function = state().functions.find(handle)) return function;
  return state().kernels.find(handle);
}

CUresult set_layout(u32 context, u64 handle, Callable& callable, u32 count, u32 bytes,
                    const protocol::InlineParameters& inline_parameters) {
  if (bytes > protocol::kMaxParameterBytes || count > bytes) return CUDA_ERROR_UNKNOWN;
  callable.parameter_bytes = bytes;
  callable.parameters.resize(count);
  u64 covered = 0;
  for (u32 i = 0; i < count; ++i) {
    protocol::ParameterLayout& layout = callable.parameters[i];
    if (i < protocol::kInlineParameters) {
      layout = inline_parameters.layout[i];
    } else {
      call::cuFuncGetParamInfo::Reply reply{};
      const CUresult result = ask<call::cuFuncGetParamInfo>(context, {{handle}, i}, &reply);
      if (result != CUDA_SUCCESS) return result;
      if (reply.offset > bytes || reply.size > bytes) return CUDA_ERROR_UNKNOWN;
      layout = {static_cast<u16>(reply.offset), static_cast<u16>(reply.size)};
    }
    if (layout.offset > bytes || layout.size > bytes - layout.offset) return CUDA_ERROR_UNKNOWN;
    covered += layout.size;
  }
  callable.dense = covered >= bytes;
  return CUDA_SUCCESS;
}

namespace {

/// Looks `name` up in `known`, or resolves it with `resolve(minted)` and remembers it there. The lock is not held while
/// the host is asked; of two threads that ask at once, the first one's handle is used.
template <typename Owner, typename Table, typename Names, typename Resolve>
CUresult resolve_once(Owner& owner, Names& known, Table& table, const char* name, u64& handle, Resolve&& resolve) {
  {
    std::lock_guard lock(owner.mutex);
    if (const auto found = known.find(std::string_view(name)); found != known.end()) {
      handle = found->second;
      return CUDA_SUCCESS;
    }
  }
  std::span<const std::byte> tail;
  CUresult result = name_tail(name, tail);
  if (result != CUDA_SUCCESS) return result;
  const auto minted = table.mint();
  if (!minted.object) return CUDA_ERROR_OUT_OF_MEMORY;
  minted.object->name = name;
  result = resolve(minted.handle, *minted.object, tail);
  if (result != CUDA_SUCCESS) {
    table.release(minted.handle.value);
    return result;
  }
  std::lock_guard lock(owner.mutex);
  const auto [entry, first] = known.try_emplace(name, minted.handle.value);
  // A second handle for the same function stays minted: the executor knows it, too.
  if (!first) owner.spare.push_back(minted.handle.value);
  handle = entry->second;
  return CUDA_SUCCESS;
}

}  // namespace

CUresult module_function(u64 module_handle, const char* name, u64& handle) {
  State& s = state();
  Module* module = s.modules.find(module_handle);
  if (!module) return CUDA_ERROR_INVALID_HANDLE;
  const u32 context = protocol::ContextHandle{module->context}.index();
  return resolve_once(
      *module, module->functions, s.functions, name, handle,
      [&](protocol::FunctionHandle minted, Callable& function, std::span<const std::byte> tail) {
        function.context = module->context;
        function.module = module_handle;
        call::cuModuleGetFunction::Reply reply{};
        const CUresult result = ask<call::cuModuleGetFunction>(context, {{module_handle}, minted}, &reply, tail);
        if (result != CUDA_SUCCESS) return result;
        return set_layout(context, minted.value, function, reply.parameter_count, reply.parameter_bytes,
                          reply.parameters);
      });
}

CUresult library_kernel(u64 library_handle, const char* name, u64& handle) {
  State& s = state();
  Library* library = s.libraries.find(library_handle);
  if (!library) return CUDA_ERROR_INVALID_HANDLE;
  const u32 context = any_context_index();
  return resolve_once(
      *library, library->kernels, s.kernels, name, handle,
      [&](protocol::KernelHandle minted, Callable& kernel, std::span<const std::byte> tail) {
        kernel.library = library_handle;
        call::cuLibraryGetKernel::Reply reply{};
        const CUresult result = ask<call::cuLibraryGetKernel>(context, {{library_handle}, minted}, &reply, tail);
        if (result != CUDA_SUCCESS) return result;
        return set_layout(context, minted.value, kernel, reply.parameter_count, reply.parameter_bytes,
                          reply.parameters);
      });
}

CUresult function_attribute(u32 context, u64 handle, Callable& callable, u32 attribute, int& value) {
  return cached_attribute(callable, attribute, value, [&](int& fetched) {
    call::cuFuncGetAttribute::Reply reply{};
    const CUresult result = ask<call::cuFuncGetAttribute>(context, {{handle}, attribute, 0}, &reply);
    if (result == CUDA_SUCCESS) fetched = reply.value;
    return result;
  });
}

void forget_facts(Callable& callable) noexcept {
  callable.facts.begin_change();
  forget_other_forms(callable);
  callable.facts.end_change();
}

void forget_other_forms(Callable& callable) noexcept {
  const auto forget = [](Callable& form) {
    form.facts.begin_change();
    form.facts.end_change();
  };
  State& s = state();
  if (Callable* kernel = s.kernels.find(callable.kernel)) forget(*kernel);
  Library* library = s.libraries.find(callable.library);
  if (!library) return;
  std::lock_guard lock(library->mutex);
  for (const auto& [context, function] : callable.functions)
    if (Callable* form = s.functions.find(function)) forget(*form);
}

void forget_module(u64 handle) {
  State& s = state();
  Module* module = s.modules.find(handle);
  if (!module) return;
  for (const auto& [name, function] : module->functions) s.functions.release(function);
  for (const u64 function : module->spare) s.functions.release(function);
  for (const u64 variable : module->globals) s.allocations.remove(variable, Allocation::Kind::variable);
  s.modules.release(handle, module->library == 0);
}

}  // namespace vgpu::shim
