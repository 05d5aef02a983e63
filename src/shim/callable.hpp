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

/// An attribute from the cache, else from `fetch(value)`, which is remembered.
template <typename Fetch>
CUresult cached_attribute(Callable& callable, u32 attribute, int& value, Fetch&& fetch) {
  if (attribute >= Callable::kAttributes) return CUDA_ERROR_INVALID_VALUE;
  if (callable.known_attributes.load(std::memory_order_acquire) >> attribute & 1) {
    value = callable.attribute[attribute].load(std::memory_order_relaxed);
    return CUDA_SUCCESS;
  }
  const CUresult result = fetch(value);
  if (result != CUDA_SUCCESS) return result;
  callable.attribute[attribute].store(value, std::memory_order_relaxed);
  callable.known_attributes.fetch_or(1u << attribute, std::memory_order_release);
  return CUDA_SUCCESS;
}

/// What cuFuncGetAttribute says of a function or kernel, cached.
CUresult function_attribute(u32 context, u64 handle, Callable& callable, u32 attribute, int& value);

/// After an attribute was set: what is cached of it and of its other form is no longer known.
void attribute_changed(Callable& callable) noexcept;

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
