#pragma once
#include <cuda_runtime.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

/// What every program here shares: a wrong result or an unexpected error is said in one line and ends the program with
/// exit code 1; a program that comes to its end prints `NAME: ok` and its figures.

[[noreturn]] __attribute__((format(printf, 1, 2))) inline void fail(const char* format, ...) {
  std::va_list arguments;
  va_start(arguments, format);
  std::fputs("FAILED: ", stdout);
  std::vprintf(format, arguments);
  std::fputc('\n', stdout);
  std::fflush(stdout);
  va_end(arguments);
  // Not exit(): other threads may still be inside of CUDA, and the verdict is known.
  std::_Exit(1);
}

inline void expect_result(cudaError_t got, cudaError_t wanted, const char* what, const char* file, int line) {
  if (got != wanted)
    fail("%s:%d: %s gave %s (%d), not %s", file, line, what, cudaGetErrorName(got), static_cast<int>(got),
         cudaGetErrorName(wanted));
  // An error that was expected must not be found by a later cudaGetLastError().
  if (wanted != cudaSuccess) (void)cudaGetLastError();
}

#define CHECK(call) expect_result((call), cudaSuccess, #call, __FILE__, __LINE__)
#define EXPECT(error, call) expect_result((call), (error), #call, __FILE__, __LINE__)
#define REQUIRE(condition, ...)                                            \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::printf("%s:%d: %s is false\n", __FILE__, __LINE__, #condition); \
      fail(__VA_ARGS__);                                                   \
    }                                                                      \
  } while (false)

/// A repeatable stream of numbers (splitmix64), so that each run computes the same.
class Numbers {
 public:
  explicit Numbers(unsigned long long seed) : state_(seed) {}
  unsigned long long next() {
    unsigned long long z = (state_ += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  /// In [-1, 1), with 12 bits, so that sums of products of a few of them are exact in a float.
  float next_float() { return static_cast<float>(static_cast<int>(next() & 4095u) - 2048) / 2048.0f; }

 private:
  unsigned long long state_;
};
