#pragma once
#include <string>
#include <type_traits>

#include "executor/cuda_api.hpp"

namespace vgpu::executor {

/// A function that the loaded driver lacks: answers CUDA_ERROR_NOT_SUPPORTED, so that a call site needs no test.
template <typename F>
struct Missing;
template <typename... Args>
struct Missing<CUresult(Args...)> {
  static CUresult CUDAAPI call(Args...) noexcept { return CUDA_ERROR_NOT_SUPPORTED; }
};

/// The CUDA driver's functions, found at run time: the host's libcuda, the software GPU, or a test's fakes. Never
/// changed after it was filled; any thread. No pointer is ever null.
struct Driver {
#define FUNCTION(name) decltype(&::name) name = &Missing<decltype(::name)>::call;
#include "executor/driver_functions.def"
#undef FUNCTION

  /// Loads `library` (path or soname) and takes what it has. False: it can't be loaded, and `error` says why. The
  /// library stays loaded until the process ends.
  bool load(const char* library, std::string& error);

  /// Name of a result, such as "CUDA_SUCCESS": by the driver, else its number. Any thread.
  std::string result_name(CUresult result) const;
};

}  // namespace vgpu::executor
