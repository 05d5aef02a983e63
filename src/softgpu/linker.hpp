#pragma once
#include <mutex>
#include <string>
#include <vector>

#include "softgpu/driver_api.hpp"
#include "softgpu/jit_options.hpp"

namespace vgpu::softgpu {

/// What a CUlinkState stands for: texts that are to become one. All members are guarded by `mutex`.
struct Linker {
  std::mutex mutex;
  JitOptions options;
  std::vector<std::string> texts;
  std::string image;  ///< the program reads it until the state is destroyed
  bool complete = false;
};

}  // namespace vgpu::softgpu
