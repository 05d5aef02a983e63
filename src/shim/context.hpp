#pragma once
#include "shim/device.hpp"

namespace vgpu::shim {

/// Handle of a device's primary context, the same all the time; neither retains nor activates it. Null with `result`
/// set when none can be made.
Context* primary_context(CUdevice ordinal, Device& device, CUresult& result);

/// Forgets what lived in a context that is destroyed: allocations, streams, events, modules, functions.
void forget_context(u64 context);

/// The context of a handle, valid and alive, or null.
Context* find_context(CUcontext handle) noexcept;

/// `explicit_context`, or the current one if it is null; null with `result` set if there is none.
Context* context_or_current(CUcontext explicit_context, CUresult& result) noexcept;

inline CUcontext as_cuda(const Context& context) noexcept { return reinterpret_cast<CUcontext>(context.handle); }

}  // namespace vgpu::shim
