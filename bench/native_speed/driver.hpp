#pragma once
#include <cuda.h>

#include <string>

/// The driver API of one library, opened at run time: two libraries that export the same names are compared, so nothing
/// is linked.
namespace vgpu::bench {

// cuda.h turns a name into that of its newest version (cuMemAlloc: cuMemAlloc_v2); the pointers take the versioned name
// with them.
// Formatted by hand: clang-format would stack the names into a staircase.
// clang-format off
#define VGPU_BENCH_FUNCTIONS(X) \
  X(cuInit) X(cuDeviceGet) X(cuDevicePrimaryCtxRetain) X(cuCtxSetCurrent) X(cuModuleLoadData) X(cuModuleUnload) \
  X(cuModuleGetFunction) X(cuMemAlloc) X(cuMemFree) X(cuMemGetInfo) X(cuMemAllocAsync) X(cuMemFreeAsync) \
  X(cuMemAllocHost) X(cuMemFreeHost) X(cuMemcpyHtoD) X(cuMemcpyDtoH) X(cuStreamCreate) X(cuStreamSynchronize) \
  X(cuStreamQuery) X(cuEventCreate) X(cuEventRecord) X(cuEventQuery) X(cuLaunchKernel) X(cuGraphCreate) \
  X(cuGraphAddKernelNode) X(cuGraphInstantiate) X(cuGraphLaunch) X(cuGraphExecDestroy) X(cuGraphDestroy) X(cuGetErrorName)
// clang-format on

struct Driver {
#define VGPU_BENCH_MEMBER(name) decltype(&::name) name##_p = nullptr;
  VGPU_BENCH_FUNCTIONS(VGPU_BENCH_MEMBER)
#undef VGPU_BENCH_MEMBER

  /// library: a path, or a name that the loader looks up. Throws std::runtime_error with the reason when the library
  /// can't be opened or lacks a function.
  explicit Driver(const std::string& library);

  /// Throws std::runtime_error naming `what` unless `result` is CUDA_SUCCESS.
  void check(CUresult result, const char* what) const;
};

}  // namespace vgpu::bench
