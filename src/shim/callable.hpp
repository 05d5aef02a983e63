#pragma once
#include <string_view>

#include "shim/context.hpp"

namespace vgpu::shim {

using protocol::CallableHandle;

/// A CUfunction or CUkernel that a program passes where either is good, or null.
Callable* find_callable(u64 handle) noexcept;

/// Takes a callable's parameter layout from the reply that resolved it, asking for the parameters beyond the first
/// kInlineParameters.
CUresult set_layout(u32 context, u64 handle, Callable& callable, u32 count, u32 bytes,
                    const protocol::InlineParameters& inline_parameters);

/// The function of a module by name: the same handle each time.
CUresult module_function(u64 module, const char* name, u64& handle);
/// The kernel of a library by name: the same handle each time.
CUresult library_kernel(u64 library, const char* name, u64& handle);

/// Forgets what is known of the kernel that a function is a form of, and of the functions that a kernel has.
void forget_other_forms(Callable& callable) noexcept;

/// An attribute from the cache, else from `fetch(value)`, which is remembered.
template <typename Fetch>
CUresult cached_attribute(Callable& callable, u32 attribute, int& value, Fetch&& fetch) {
  if (attribute >= CallableFacts::kAttributes) return CUDA_ERROR_INVALID_VALUE;
  if (callable.facts.find(attribute, value)) return CUDA_SUCCESS;
  const u32 version = callable.facts.version();
  const CUresult result = fetch(value);
  if (result == CUDA_SUCCESS) callable.facts.remember(attribute, value, version);
  return result;
}

/// What cuFuncGetAttribute says of a function or kernel, cached.
CUresult function_attribute(u32 context, u64 handle, Callable& callable, u32 attribute, int& value);

/// Sets an attribute by set(), unless it has that value already. What is known of the callable and of its other forms
/// is forgotten then.
template <typename Set>
CUresult set_attribute(Callable& callable, u32 attribute, int value, Set&& set) {
  if (attribute >= CallableFacts::kAttributes) return CUDA_ERROR_INVALID_VALUE;
  if (callable.facts.is_set_to(attribute, value)) return CUDA_SUCCESS;
  const u32 begun = callable.facts.begin_setting(attribute);
  const CUresult result = set();
  forget_other_forms(callable);
  callable.facts.end_setting(begun, attribute, value, result == CUDA_SUCCESS);
  return result;
}

/// Forgets what is known of a callable and its other forms, since it is about to change or has changed.
void forget_facts(Callable& callable) noexcept;

/// The function that is a kernel's form in a context: the same handle each time.
CUresult kernel_function(const Context& context, u64 kernel, u64& handle);
/// The module that is a library's form in a context: the same handle each time.
CUresult library_module(const Context& context, u64 library, u64& handle);

/// Forgets a module with its functions and variables.
void forget_module(u64 module);

/// Enters a variable of a module or library into the map of allocations: its address is memory of the GPU.
template <typename Owner>
void remember_variable(Owner& owner, u64 address, u64 bytes, u64 context) {
  State& s = state();
  const Context* found = s.contexts.find(context);
  if (address == 0 || bytes == 0 || !found) return;
  if (const auto known = s.allocations.find(address); known && known->base == address) return;
  s.allocations.add({address, bytes, Allocation::Kind::variable, context, found->device, 0, address, 0, 0, 0});
  std::lock_guard lock(owner.mutex);
  owner.globals.push_back(address);
}

}  // namespace vgpu::shim
