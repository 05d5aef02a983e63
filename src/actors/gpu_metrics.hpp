#pragma once
#include <prometheus/metric_family.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "actors/gpu_watch.hpp"

namespace vgpu::daemon {

/// Pools, each with the UUID of a GPU on which its sessions may be placed.
using PoolGpus = std::set<std::pair<std::string, std::string>>;

/// What NVML says of the GPUs, as metrics with the label `uuid`, by which they join with NVIDIA's own exporter. A
/// sensor that a GPU lacks has no series, and a metric without series is left out.
std::vector<prometheus::MetricFamily> gpu_metrics(const std::vector<GpuState>& states, const PoolGpus& pools);

}  // namespace vgpu::daemon
