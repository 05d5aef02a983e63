#pragma once
#include <prometheus/metric_family.h>

#include <vector>

namespace vgpu::daemon {

/// What this process takes of the machine, under the names that Prometheus' own libraries use. What /proc does not say
/// is left out. Any thread.
std::vector<prometheus::MetricFamily> process_metrics();

}  // namespace vgpu::daemon
