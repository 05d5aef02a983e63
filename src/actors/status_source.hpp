#pragma once
#include <vector>

#include "actors/gpu_watch.hpp"
#include "actors/limits.hpp"
#include "actors/metrics_store.hpp"
#include "protocol/status.hpp"

namespace vgpu::daemon {

/// What a VM sees of these GPUs: its limit as the memory, what its own sessions use, and its processes on them; of the
/// whole GPU only the sensors. GPUs and processes beyond what a Status holds are left out.
void fill_status(const std::vector<GpuState>& gpus, const std::vector<ProcessUse>& use, const Limits& limits,
                 protocol::Status& status);

}  // namespace vgpu::daemon
