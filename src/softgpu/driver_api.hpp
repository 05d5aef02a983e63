#pragma once
/// cuda.h with every function of it exported: the library's own symbols are hidden, the driver API's are not.
#pragma GCC visibility push(default)
#include <cuda.h>
#pragma GCC visibility pop

/// For the functions that cuda.h declares under another name (older versions, per-thread-default-stream variants).
#define VGPU_CUDA_EXPORT extern "C" __attribute__((visibility("default")))
