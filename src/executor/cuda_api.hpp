#pragma once
/// cuda.h with each function under the name that libcuda exports, so that a declaration and a symbol are the same word.
#define __CUDA_API_VERSION_INTERNAL  // NOLINT(bugprone-reserved-identifier): the header's own switch
#include <cuda.h>
