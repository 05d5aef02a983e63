#pragma once
#include <cuda.h>
#include <dlfcn.h>

#include <cstdio>

/// For programs of the driver API alone, whose main() opens libcuda.so.1 as `library` and returns 1 where something is
/// not as it should be.

#define FAIL(...)                          \
  do {                                     \
    std::printf("FAILED: " __VA_ARGS__);   \
    std::printf(" (line %d)\n", __LINE__); \
    return 1;                              \
  } while (false)
#define REQUIRE(condition, ...)          \
  do {                                   \
    if (!(condition)) FAIL(__VA_ARGS__); \
  } while (false)
#define EXPECT(wanted, call)                                                                                   \
  do {                                                                                                         \
    const CUresult got_ = (call);                                                                              \
    if (got_ != (wanted)) FAIL("%s gave %d, not %d", #call, static_cast<int>(got_), static_cast<int>(wanted)); \
  } while (false)
#define CHECK(call) EXPECT(CUDA_SUCCESS, call)

// cuda.h turns many names into those of their newest version by macros; the string must be made after that.
#define NAME_OF(function) NAME_OF_(function)
#define NAME_OF_(function) #function
#define LOAD(function)                                                                                \
  const auto p_##function = reinterpret_cast<decltype(&function)>(dlsym(library, NAME_OF(function))); \
  REQUIRE(p_##function != nullptr, "libcuda.so.1 has no %s", NAME_OF(function))
