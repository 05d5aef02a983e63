#pragma once
#include <prometheus/metric_family.h>

#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "actors/wait_histogram.hpp"

namespace vgpu::daemon {

/// Builds one metric family of counters or gauges, or of histograms of waits.
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
  void add(Labels labels, const WaitCounts& waits) {
    prometheus::ClientMetric metric;
    metric.label = std::move(labels);
    metric.histogram.sample_count = waits.count();
    metric.histogram.sample_sum = static_cast<double>(waits.nanoseconds) / 1e9;
    std::uint64_t below = 0;
    for (std::size_t i = 0; i < waits.buckets.size(); ++i) {
      below += waits.buckets[i];
      metric.histogram.bucket.push_back(
          {below, i < kWaitBounds.size() ? kWaitBounds[i] : std::numeric_limits<double>::infinity()});
    }
    family_.metric.push_back(std::move(metric));
  }
  bool empty() const noexcept { return family_.metric.empty(); }
  prometheus::MetricFamily take() { return std::move(family_); }

 private:
  prometheus::MetricFamily family_;
};

}  // namespace vgpu::daemon
