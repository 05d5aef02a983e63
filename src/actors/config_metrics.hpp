#pragma once
#include <prometheus/metric_family.h>

#include <cstdint>
#include <set>
#include <vector>

#include "actors/config.hpp"

namespace vgpu::daemon {

/// What pools and VMs are given, as metrics: those that the configuration lists, connected or not, and `others`, VMs
/// that it does not list. A limit that is not set has no series.
std::vector<prometheus::MetricFamily> config_metrics(const Config& config, const std::set<std::uint32_t>& others);

}  // namespace vgpu::daemon
