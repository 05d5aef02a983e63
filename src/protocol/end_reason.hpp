#pragma once
#include "protocol/layout.h"

namespace vgpu::protocol {

/// Text of a reason, for log and error messages; also the value of the `reason` label of vgpu_faults_total.
constexpr const char* end_reason_text(vgpu_end_reason reason) noexcept {
  switch (reason) {
    case VGPU_END_NONE:
      return "none";
    case VGPU_END_CLOSED:
      return "closed";
    case VGPU_END_DAEMON_STOPPED:
      return "daemon_stopped";
    case VGPU_END_BAD_RECORD:
      return "bad_record";
    case VGPU_END_BAD_CHECK:
      return "bad_check";
    case VGPU_END_UNKNOWN_CALL:
      return "unknown_call";
    case VGPU_END_BAD_REQUEST:
      return "bad_request";
    case VGPU_END_BAD_RING:
      return "bad_ring";
    case VGPU_END_BAD_BULK:
      return "bad_bulk";
    case VGPU_END_VERSION:
      return "version";
    case VGPU_END_EXECUTOR_DIED:
      return "executor_died";
    case VGPU_END_EXECUTOR_START:
      return "executor_start";
    case VGPU_END_GPU_FAULT:
      return "gpu_fault";
    case VGPU_END_LIMIT:
      return "limit";
    case VGPU_END_KILLED:
      return "killed";
    case VGPU_END_WATCHDOG:
      return "watchdog";
    case VGPU_END_GPU_LOST:
      return "gpu_lost";
    case VGPU_END_INTERNAL:
      return "internal";
  }
  return "unknown";
}

}  // namespace vgpu::protocol
