#pragma once
#include "actors/config_table.hpp"
#include "actors/limits.hpp"

/// The keys of [[vm]] and [unregistered] that limit a VM.
#define VGPU_LIMIT_KEYS \
  "memory", "sessions", "streams", "events", "modules", "graphs", "arena", "in_flight", "calls_per_second"

namespace vgpu::daemon {

/// Reads them; what is not given stays as it is.
void read_limits(TableReader& reader, Limits& limits);

}  // namespace vgpu::daemon
