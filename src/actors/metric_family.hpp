#pragma once
#include <prometheus/metric_family.h>

#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "actors/wait_histogram.hpp"

namespace vgpu::daemon {

/// Builds one metric family of counters or gauges, or of histograms of times.
class Family {
 public:
  using Labels = std::vector<prometheus::ClientMetric::Label>;

  Family(const char* name, const char* help, prometheus::MetricType type) {
    family_.name = name;
    family_.help = help;
    family_.type = type;
  }
  void add(Labels labels, std::uint64_t value) { add(std::move(labels), static_cast<double>(value)); }
  void add(Labels labels, double value) {
    prometheus::ClientMetric metric;
    metric.label = std::move(labels);
    if (family_.type == prometheus::MetricType::Counter)
      metric.counter.value = value;
    else
      metric.gauge.value = value;
    family_.metric.push_back(std::move(metric));
  }
  template <const auto& kBounds>
  void add(Labels labels, const TimeCounts<kBounds>& times) {
    prometheus::ClientMetric metric;
    metric.label = std::move(labels);
    metric.histogram.sample_count = times.count();
    metric.histogram.sample_sum = static_cast<double>(times.nanoseconds) / 1e9;
    std::uint64_t below = 0;
    for (std::size_t i = 0; i < times.buckets.size(); ++i) {
      below += times.buckets[i];
      metric.histogram.bucket.push_back(
          {below, i < kBounds.size() ? kBounds[i] : std::numeric_limits<double>::infinity()});
    }
    family_.metric.push_back(std::move(metric));
  }
  bool empty() const noexcept { return family_.metric.empty(); }
  prometheus::MetricFamily take() { return std::move(family_); }

 private:
  prometheus::MetricFamily family_;
};

}  // namespace vgpu::daemon
