#pragma once
#include <memory>

#include "actors/accounting.hpp"
#include "actors/interfaces.hpp"
#include "actors/metrics_store.hpp"

namespace vgpu::daemon {

/// Brings what happened into the store that /metrics reads, samples what sessions hold once a second, keeps the
/// accounts for billing, and writes the log line of a session that is over: its totals are final here and nowhere else.
struct MetricsState {
  static inline const char* name = "metrics";

  std::shared_ptr<MetricsStore> store;
  std::shared_ptr<Accounting> accounting;  ///< null: none are kept
  caf::actor_clock::time_point last_tick;
  unsigned ticks = 0;  ///< since the accounts were written
};

metrics_actor::behavior_type metrics(metrics_actor::stateful_pointer<MetricsState> self,
                                     std::shared_ptr<MetricsStore> store, std::shared_ptr<Accounting> accounting);

}  // namespace vgpu::daemon
