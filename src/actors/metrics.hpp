#pragma once
#include <memory>

#include "actors/interfaces.hpp"
#include "actors/metrics_store.hpp"

namespace vgpu::daemon {

/// Brings what happened into the store that /metrics reads, and writes the log line of a session that is over: its
/// totals are final here and nowhere else.
struct MetricsState {
  static inline const char* name = "metrics";

  std::shared_ptr<MetricsStore> store;
};

metrics_actor::behavior_type metrics(metrics_actor::stateful_pointer<MetricsState> self,
                                     std::shared_ptr<MetricsStore> store);

}  // namespace vgpu::daemon
