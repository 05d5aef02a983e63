#pragma once
#include <cstdlib>

#include "guest.hpp"

namespace vgpu::test {

/// The software GPU, or the driver that VGPU_TEST_DRIVER names.
inline const executor::Driver& whole_driver() {
  static const executor::Driver* driver = [] {
    auto* loaded = new executor::Driver;
    std::string error;
    const char* other = std::getenv("VGPU_TEST_DRIVER");
    if (!loaded->load(other != nullptr ? other : VGPU_SOFTGPU_LIBRARY, error)) std::abort();
    if (loaded->cuInit(0) != CUDA_SUCCESS) std::abort();
    return loaded;
  }();
  return *driver;
}

}  // namespace vgpu::test
