#pragma once
#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "check.hpp"

/// What the programs of the corpus share. Each case compares what a kernel wrote with a reference made on the CPU, ends
/// the program with exit code 1 where they differ, and prints one line that another GPU's line is compared with:
///   case NAME digest=HEX             exact: a digest of the bytes
///   case NAME ulps=N values=HEX,...  as exact as CUDA documents the operation: the bits of a few dozen results
namespace corpus {

/// Device memory with the contents of a vector; freed with it.
template <class T>
class Buffer {
 public:
  explicit Buffer(std::size_t count) : count_(count) {
    CHECK(cudaMalloc(&data_, count * sizeof(T)));
    CHECK(cudaMemset(data_, 0, count * sizeof(T)));
  }
  explicit Buffer(const std::vector<T>& values) : count_(values.size()) {
    CHECK(cudaMalloc(&data_, count_ * sizeof(T)));
    CHECK(cudaMemcpy(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice));
  }
  ~Buffer() { (void)cudaFree(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  operator T*() const { return data_; }
  T* get() const { return data_; }
  std::size_t size() const { return count_; }
  std::vector<T> values() const {
    CHECK(cudaGetLastError());
    CHECK(cudaDeviceSynchronize());
    std::vector<T> host(count_);
    CHECK(cudaMemcpy(host.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost));
    return host;
  }

 private:
  T* data_ = nullptr;
  std::size_t count_;
};

/// FNV-1a, 64 bits.
inline std::uint64_t digest(const void* data, std::size_t bytes) {
  std::uint64_t hash = 0xcbf29ce484222325ull;
  for (std::size_t i = 0; i < bytes; ++i) hash = (hash ^ static_cast<const unsigned char*>(data)[i]) * 0x100000001b3ull;
  return hash;
}

inline std::string hex(const void* data, std::size_t bytes) {
  std::string text;
  char digits[3];
  for (std::size_t i = bytes; i-- > 0;) {
    std::snprintf(digits, sizeof digits, "%02x", static_cast<const unsigned char*>(data)[i]);
    text += digits;
  }
  return text;
}

template <class T>
void print_exact(const char* name, const std::vector<T>& got) {
  std::printf("case %s digest=%016" PRIx64 "\n", name, digest(got.data(), got.size() * sizeof(T)));
  std::fflush(stdout);
}

/// The same bytes.
template <class T>
void exact(const char* name, std::vector<T> got, std::vector<T> wanted) {
  REQUIRE(got.size() == wanted.size(), "%s: %zu results, not %zu", name, got.size(), wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (std::memcmp(&got[i], &wanted[i], sizeof(T)) != 0)
      fail("%s: result %zu of %zu is %s, not %s", name, i, got.size(), hex(&got[i], sizeof(T)).c_str(),
           hex(&wanted[i], sizeof(T)).c_str());
  }
  print_exact(name, got);
}

/// For float and double: every NaN is made the same one first, since the bits of a NaN are not defined.
template <class T>
void exact_numbers(const char* name, std::vector<T> got, std::vector<T> wanted) {
  for (auto* values : {&got, &wanted})
    for (T& value : *values)
      if (std::isnan(value)) value = std::numeric_limits<T>::quiet_NaN();
  exact(name, got, wanted);
}

/// The distance from the correctly rounded result in units of its last place, as CUDA's accuracy tables count it.
template <class T>
double ulps_between(T got, long double wanted) {
  if (std::isnan(wanted)) return std::isnan(got) ? 0.0 : HUGE_VAL;
  const T rounded = static_cast<T>(wanted);
  if (got == rounded) return 0.0;
  if (!std::isfinite(rounded) || !std::isfinite(got)) return HUGE_VAL;
  int exponent = 0;
  std::frexp(rounded, &exponent);
  const int last = std::max(exponent, std::numeric_limits<T>::min_exponent) - std::numeric_limits<T>::digits;
  return std::fabs(static_cast<double>(got) - static_cast<double>(rounded)) / std::ldexp(1.0, last);
}

/// Results that are right to `ulps` units of the last place, or, for sums whose order is open, to `absolute`.
template <class T>
void approximate(const char* name, const std::vector<T>& got, const std::vector<long double>& wanted, double ulps,
                 double absolute = 0) {
  REQUIRE(got.size() == wanted.size(), "%s: %zu results, not %zu", name, got.size(), wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double off = ulps_between(got[i], wanted[i]);
    if (!(off <= ulps) && !(std::fabs(static_cast<double>(got[i] - wanted[i])) <= absolute))
      fail("%s: result %zu is %.17g, not %.17Lg: %.2f units of the last place off, %g allowed", name, i,
           static_cast<double>(got[i]), wanted[i], off, ulps);
  }
  std::printf("case %s ulps=%g absolute=%g values=", name, ulps, absolute);
  const std::size_t shown = std::min<std::size_t>(got.size(), 48);
  for (std::size_t i = 0; i < shown; ++i) {
    const T value = got[i * got.size() / shown];
    std::printf("%s%s", i == 0 ? "" : ",", hex(&value, sizeof value).c_str());
  }
  std::printf("\n");
  std::fflush(stdout);
}

static __global__ void tell_architecture(int* out) {
#ifdef __CUDA_ARCH__
  *out = __CUDA_ARCH__;
#else
  (void)out;
#endif
}

/// The architecture that the kernels of this program were compiled for, as __CUDA_ARCH__ has it.
inline int architecture() {
  const Buffer<int> out(1);
  tell_architecture<<<1, 1>>>(out.get());
  return out.values()[0];
}

/// Threads of a grid that has one for each element.
struct Grid {
  explicit Grid(std::size_t count) : blocks(static_cast<unsigned>((count + kThreads - 1) / kThreads)) {}
  static constexpr unsigned kThreads = 128;
  unsigned blocks;
};

/// Numbers of every magnitude, each pattern of bits as likely, with the odd ones at the front.
template <class T>
std::vector<T> any_bits(std::size_t count, std::uint64_t seed = 1) {
  Numbers numbers(seed);
  std::vector<T> values(count);
  for (T& value : values) {
    const std::uint64_t bits = numbers.next();
    std::memcpy(&value, &bits, sizeof(T));
  }
  return values;
}

inline std::vector<float> any_floats(std::size_t count, std::uint64_t seed = 1) {
  auto values = any_bits<float>(count, seed);
  const float odd[] = {0.0f,          -0.0f,          1.0f,          -1.0f,           INFINITY,      -INFINITY,
                       NAN,           1e-45f,         -1e-45f,       1.17549435e-38f, 3.4028235e38f, -3.4028235e38f,
                       0.5f,          1.5f,           2.5f,          -0.5f,           -1.5f,         -2.5f,
                       2147483648.0f, -2147483648.0f, 4294967296.0f, 255.5f,          65504.0f,      65520.0f,
                       1e-8f};
  for (std::size_t i = 0; i < sizeof odd / sizeof *odd && i < count; ++i) values[i] = odd[i];
  // Half of the rest near 1, where roundings happen in sums too.
  Numbers numbers(seed + 77);
  for (std::size_t i = 64; i < count; i += 2)
    values[i] = static_cast<float>(static_cast<double>(static_cast<std::int64_t>(numbers.next())) / 9.2e15);
  return values;
}

inline std::vector<double> any_doubles(std::size_t count, std::uint64_t seed = 1) {
  auto values = any_bits<double>(count, seed);
  const auto odd = any_floats(64, seed);
  for (std::size_t i = 0; i < 64 && i < count; ++i) values[i] = odd[i];
  Numbers numbers(seed + 78);
  for (std::size_t i = 64; i < count; i += 2)
    values[i] = static_cast<double>(static_cast<std::int64_t>(numbers.next())) / 9.2e15;
  return values;
}

/// Results of an elementwise kernel.
template <class Out, class In>
std::vector<Out> mapped(void (*kernel)(Out*, const In*, int), const std::vector<In>& in) {
  const Buffer<In> device_in(in);
  const Buffer<Out> out(in.size());
  const Grid grid(in.size());
  kernel<<<grid.blocks, Grid::kThreads>>>(out.get(), device_in.get(), static_cast<int>(in.size()));
  return out.values();
}

template <class Out, class In>
std::vector<Out> mapped_on_host(Out (*reference)(In, In, In), const std::vector<In>& in) {
  std::vector<Out> out(in.size());
  const std::size_t n = in.size();
  for (std::size_t i = 0; i < n; ++i) out[i] = reference(in[i], in[(i * 7 + 3) % n], in[(i * 13 + 5) % n]);
  return out;
}

}  // namespace corpus

/// A kernel that computes `device` of x, y and z, each another element of its input, and `NAME_reference` that computes
/// `host` of the same.
#define ELEMENTWISE(name, Out, In, device, host)                           \
  __global__ void name(Out* out, const In* in, int n) {                    \
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); \
    if (i >= n) return;                                                    \
    const In x = in[i];                                                    \
    const In y = in[(i * 7ll + 3) % n];                                    \
    const In z = in[(i * 13ll + 5) % n];                                   \
    (void)x, (void)y, (void)z;                                             \
    out[i] = device;                                                       \
  }                                                                        \
  static Out name##_reference(In x, In y, In z) {                          \
    (void)x, (void)y, (void)z;                                             \
    return host;                                                           \
  }
#define RUN_EXACT(name, in) corpus::exact(#name, corpus::mapped(name, in), corpus::mapped_on_host(name##_reference, in))
#define RUN_NUMBERS(name, in) \
  corpus::exact_numbers(#name, corpus::mapped(name, in), corpus::mapped_on_host(name##_reference, in))
