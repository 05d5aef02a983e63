// What the C programs' results go through: give() keeps an array for the comparison of the two sides, check() compares
// with a reference here and now, CHECK ends the program at the first call that fails (0 is success in every library).
#pragma once

#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <type_traits>
#include <vector>

#define CHECK(call)                                                                       \
  do {                                                                                    \
    if (const int vgpu_status = static_cast<int>(call); vgpu_status != 0) {               \
      std::printf("FAILED: %s:%d: %s gave %d\n", __FILE__, __LINE__, #call, vgpu_status); \
      std::exit(1);                                                                       \
    }                                                                                     \
  } while (false)

/// Both sides must give this: equal, or apart by at most `tolerance` times the largest element. Written as NumPy's
/// format.
template <typename T>
void give(const std::string& name, const std::vector<T>& values, double tolerance = 0) {
  std::printf("result %s %g\n", name.c_str(), tolerance);
  const char* folder = std::getenv("VGPU_RESULTS");
  if (folder == nullptr) return;
  const char kind = std::is_floating_point_v<T> ? 'f' : std::is_signed_v<T> ? 'i' : 'u';
  std::string header = std::string("{'descr': '<") + kind + std::to_string(sizeof(T)) +
                       "', 'fortran_order': False, 'shape': (" + std::to_string(values.size()) + ",), }";
  header.append(64 - (10 + header.size() + 1) % 64, ' ').push_back('\n');
  std::FILE* file = std::fopen((std::string(folder) + "/" + name + ".npy").c_str(), "wb");
  if (file == nullptr) std::exit(3);
  const std::uint8_t start[] = {0x93,
                                'N',
                                'U',
                                'M',
                                'P',
                                'Y',
                                1,
                                0,
                                static_cast<std::uint8_t>(header.size() & 255),
                                static_cast<std::uint8_t>(header.size() >> 8)};
  std::fwrite(start, 1, sizeof start, file);
  std::fwrite(header.data(), 1, header.size(), file);
  std::fwrite(values.data(), sizeof(T), values.size(), file);
  std::fclose(file);
}

/// Ends the program where an element is further from what is wanted than `tolerance` times the largest wanted element.
template <typename T, typename U>
void check(const char* name, const std::vector<T>& got, const std::vector<U>& wanted, double tolerance) {
  double apart = 0, largest = 1e-30;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const double difference = std::fabs(static_cast<double>(got.at(i)) - static_cast<double>(wanted[i]));
    apart = difference > apart || std::isnan(difference) ? difference : apart;
    largest = std::fmax(largest, std::fabs(static_cast<double>(wanted[i])));
  }
  if (!(apart / largest <= tolerance)) {
    std::printf("FAILED: %s: %.2e from the reference, more than %.1e\n", name, apart / largest, tolerance);
    std::exit(1);
  }
  std::printf("%s: %.1e from the reference\n", name, apart / largest);
}

/// Numbers in [-1, 1), the same for a seed everywhere.
template <typename T = float>
std::vector<T> numbers(std::size_t count, std::uint32_t seed) {
  std::vector<T> values(count);
  for (T& value : values) {
    seed = seed * 1664525u + 1013904223u;
    value = static_cast<T>(static_cast<double>(seed >> 8) / 8388608.0 - 1.0);
  }
  return values;
}

/// Device memory for the time of a scope, filled from the host.
template <typename T>
class OnDevice {
 public:
  explicit OnDevice(std::size_t count) : count_(count) { CHECK(cudaMalloc(&data_, count * sizeof(T))); }
  explicit OnDevice(const std::vector<T>& values) : OnDevice(values.size()) {
    CHECK(cudaMemcpy(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice));
  }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;
  ~OnDevice() { cudaFree(data_); }
  T* data() { return data_; }
  std::vector<T> host() const {
    std::vector<T> values(count_);
    CHECK(cudaDeviceSynchronize());
    CHECK(cudaMemcpy(values.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost));
    return values;
  }

 private:
  T* data_ = nullptr;
  std::size_t count_;
};

/// Column-major A(m x k) B(k x n).
template <typename T>
std::vector<double> product(const std::vector<T>& a, const std::vector<T>& b, int m, int n, int k) {
  std::vector<double> c(static_cast<std::size_t>(m) * n);
  for (int column = 0; column < n; ++column)
    for (int inner = 0; inner < k; ++inner) {
      const double factor = static_cast<double>(b[static_cast<std::size_t>(column) * k + inner]);
      for (int row = 0; row < m; ++row)
        c[static_cast<std::size_t>(column) * m + row] +=
            static_cast<double>(a[static_cast<std::size_t>(inner) * m + row]) * factor;
    }
  return c;
}
