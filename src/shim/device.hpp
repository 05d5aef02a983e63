#pragma once
#include "shim/session.hpp"

namespace vgpu::shim {

/// The device of an ordinal with its information fetched, or null with `result` set (CUDA_ERROR_INVALID_DEVICE, or what
/// the host answered).
Device* find_device(CUdevice ordinal, CUresult& result);

/// The range of stream priorities on a context's device; the greatest is the lower number.
CUresult stream_priorities(const Context& context, i32& least, i32& greatest);

/// An attribute that the device answers, or 0.
i32 device_attribute(const Device& device, CUdevice_attribute attribute) noexcept;

/// Runs f with the device of an ordinal, after the session's checks.
template <typename F>
CUresult with_device(CUdevice ordinal, F&& f) noexcept {
  return guarded([&]() -> CUresult {
    CUresult result = CUDA_SUCCESS;
    Device* device = find_device(ordinal, result);
    return device ? f(*device) : result;
  });
}

}  // namespace vgpu::shim
