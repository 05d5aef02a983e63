#pragma once
#include <functional>
#include <string>
#include <vector>

#include "device.hpp"

namespace vgpu::bench {

/// How much is measured.
struct Effort {
  bool quick = false;
  int samples() const noexcept { return quick ? 5 : 40; }
  int batch() const noexcept { return quick ? 20 : 100; }
  std::size_t large_copy() const noexcept { return quick ? std::size_t{8} << 20 : std::size_t{256} << 20; }
};

struct Figures {
  std::vector<double> samples;  ///< in the unit that rows.py names
  unsigned long times = 0;      ///< how often the thing was done, warm-up included
};

/// One line of the table. measure() throws std::runtime_error at the first call that fails.
struct Row {
  std::string name;
  std::function<Figures(const Device&, const Effort&)> measure;
};

std::vector<Row> call_rows();
std::vector<Row> copy_rows();
std::vector<Row> graph_rows();
/// What a process uses of its CPU while it waits for a kernel of a second.
std::vector<Row> wait_rows();

/// Each sample is the mean of a batch, in microseconds; `settle` runs between batches and is not measured.
Figures batches(
    const Effort& effort, int batch, const std::function<void()>& call, const std::function<void()>& settle = [] {});

}  // namespace vgpu::bench
