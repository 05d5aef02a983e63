#pragma once
/// What every function of the driver API begins with. No exception leaves the library: memory that can't be had is
/// CUDA_ERROR_OUT_OF_MEMORY. The order of the checks is the driver's own: initialized, permitted, sticky error,
/// context, then the function's arguments.
#include <exception>
#include <memory>
#include <new>
#include <type_traits>

#include "softgpu/context.hpp"
#include "softgpu/driver.hpp"

namespace vgpu::softgpu {

template <class Function>
CUresult guarded(Function&& function) noexcept {
  try {
    return function();
  } catch (const std::bad_alloc&) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  } catch (const std::exception&) {
    return CUDA_ERROR_UNKNOWN;
  }
}

/// For calls that need only cuInit.
template <class Function>
CUresult with_driver(Function&& function) noexcept {
  if (const CUresult error = check_initialized(); error != CUDA_SUCCESS) return error;
  return guarded([&] { return function(driver()); });
}

/// For calls that need cuInit and that a fault makes fail.
template <class Function>
CUresult with_healthy_driver(Function&& function) noexcept {
  if (const CUresult error = check_initialized(); error != CUDA_SUCCESS) return error;
  if (in_host_function()) return CUDA_ERROR_NOT_PERMITTED;
  if (const CUresult error = driver().fault(); error != CUDA_SUCCESS) return error;
  return guarded([&] { return function(driver()); });
}

/// For calls on the current context: function(Context&).
template <class Function>
CUresult with_context(Function&& function) noexcept {
  return with_healthy_driver([&](Driver&) {
    const auto& stack = context_stack();
    if (stack.empty() || stack.back() == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    if (!stack.back()->active()) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    // A copy: the thread may change its current context in a callback of this call.
    const std::shared_ptr<Context> context = stack.back();
    return static_cast<CUresult>(function(*context));
  });
}

/// The stream of a handle, the special handles included; null if there is none.
inline std::shared_ptr<Stream> find_stream(Context& context, CUstream handle) {
  if (handle == nullptr || handle == CU_STREAM_LEGACY) return context.legacy();
  if (handle == CU_STREAM_PER_THREAD) return context.per_thread();
  return driver().streams.find(handle);
}

/// What a null stream means in the calls with the suffix _ptsz: the calling thread's own default stream.
inline CUstream per_thread(CUstream stream) noexcept { return stream == nullptr ? CU_STREAM_PER_THREAD : stream; }

/// For calls on a stream: function(Context&, Stream&).
template <class Function>
CUresult with_stream(CUstream handle, Function&& function) noexcept {
  return with_context([&](Context& context) {
    const std::shared_ptr<Stream> stream = find_stream(context, handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    return static_cast<CUresult>(function(context, *stream));
  });
}

/// Only after cuInit.
inline CUresult check_device(CUdevice device) noexcept {
  const auto count = static_cast<int>(driver().devices().size());
  return device >= 0 && device < count ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

}  // namespace vgpu::softgpu
