#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "driver.hpp"

namespace vgpu::bench {

enum class Unit { microseconds, gigabytes_per_second };

/// One thing that was measured, with a value for each sample.
struct Series {
  std::string name;
  Unit unit = Unit::microseconds;
  std::vector<double> samples;
};

struct Effort {
  bool quick = false;
  int samples() const noexcept { return quick ? 5 : 40; }
  int batch() const noexcept { return quick ? 20 : 100; }
  std::size_t large_copy() const noexcept { return quick ? std::size_t{8} << 20 : std::size_t{256} << 20; }
};

/// Measures one library in this process and hands each series over as soon as it is complete. Throws
/// std::runtime_error at the first call that fails.
void measure(const std::filesystem::path& library, const Effort& effort,
             const std::function<void(const Series&)>& take);

/// Plain memcpy within this process, of the sizes that measure() copies: what a copy could cost at best.
void measure_memcpy(const Effort& effort, const std::function<void(const Series&)>& take);

/// Opens a session, uses it once, calls `ready`, and returns when standard input is closed.
void stay_idle(const std::filesystem::path& library, const std::function<void()>& ready);

/// Name of the device as the library tells it.
std::string device_name(const std::filesystem::path& library);

}  // namespace vgpu::bench
