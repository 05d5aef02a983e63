#pragma once
#include <prometheus/metric_family.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "actors/session_totals.hpp"
#include "protocol/layout.h"

namespace vgpu::daemon {

/// What one VM did and has in one pool.
struct Usage {
  Totals totals;
  Holdings now;
  CallsByName calls_by_name{};
  std::map<vgpu_end_reason, std::uint64_t> faults;
  std::uint64_t qemus = 0;  ///< that are connected
  bool quarantined = false;
};

/// The value of the label `vm`.
std::string vm_text(std::uint32_t vm);

/// Collects the usage of VMs as metrics with the labels `vm` and `pool`.
class UsageMetrics {
 public:
  UsageMetrics();
  ~UsageMetrics();
  UsageMetrics(const UsageMetrics&) = delete;
  UsageMetrics& operator=(const UsageMetrics&) = delete;

  void add(std::uint32_t vm, const std::string& pool, const Usage& usage);
  /// All that was added; once.
  std::vector<prometheus::MetricFamily> take();

 private:
  struct Families;
  const std::unique_ptr<Families> families_;
};

}  // namespace vgpu::daemon
