#pragma once
#include "shim/device.hpp"

namespace vgpu::shim {

/// Handle of a device's primary context, the same all the time; neither retains nor activates it. Null with `result`
/// set when none can be made.
Context* primary_context(CUdevice ordinal, Device& device, CUresult& result);

/// Ends what lives in a context that is about to be destroyed: what libraries stored with it, streams, events, modules,
/// pinned memory. The executor keeps handles until they are destroyed one by one. Calls the program back: no lock may
/// be held that a call takes.
void empty_context(const Context& context);

/// The context of a handle, valid and alive, or null.
Context* find_context(CUcontext handle) noexcept;

/// `explicit_context`, or the current one if it is null; null with `result` set if there is none.
Context* context_or_current(CUcontext explicit_context, CUresult& result) noexcept;

/// Index of the current context; without one, of some context that is alive, or 0: for calls on libraries, which need
/// none, but whose images the driver compiles in one.
u32 any_context_index();

inline CUcontext as_cuda(const Context& context) noexcept { return reinterpret_cast<CUcontext>(context.handle); }

}  // namespace vgpu::shim
