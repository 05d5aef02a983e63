#pragma once
#include "softgpu/driver.hpp"

namespace vgpu::softgpu {

/// A host function in its turn, on the thread that runs the stream's work. As CUDA: not called after an error.
struct HostCall {
  CUhostFn function = nullptr;
  void* data = nullptr;

  void operator()() const {
    if (driver().fault() != CUDA_SUCCESS) return;
    in_host_function() = true;
    function(data);
    in_host_function() = false;
  }
};

}  // namespace vgpu::softgpu
