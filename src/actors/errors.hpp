#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "protocol/layout.h"

namespace vgpu::daemon {

/// Why a session could not be opened, or ended from the daemon's side. Never sent as a number: the guest gets the
/// reason, the CUresult and the text beside it.
enum class ErrorCode : std::uint8_t {
  hello_late,        ///< nothing came within the deadline
  hello_length,      ///< not one whole Hello
  hello_magic,       ///< something else speaks on this socket
  hello_version,     ///< another major version of the protocol
  hello_malformed,   ///< a text without its end, or a field that must be 0
  hello_unexpected,  ///< a message after the Hello
  claim_denied,      ///< this user may not say which VM it is
  unregistered,      ///< the VM is not in the configuration, and others are refused
  no_such_pool,      ///< the claimed pool does not exist
  vm_connected,      ///< another QEMU is this VM already
  vm_memory,         ///< the VM's memory or descriptors are not what they must be
  too_many,          ///< the daemon serves as many connections as it can
  vm_sessions,       ///< the VM has as many sessions as it may
  gpu_unhealthy,     ///< every GPU of the VM's pool is unhealthy
  pool_drained,      ///< an operator drains the VM's pool
  quarantined,       ///< the VM's sessions had too many faults
  no_memory,         ///< region, counters or doorbell could not be made
  executor_start,    ///< the process could not be started
  executor_refused,  ///< the process started and found no GPU
  executor_late,     ///< the process did not become ready within the deadline
  executor_died,     ///< the process ended by itself
  lease_overrun,     ///< a kernel or a copy did not end when others wanted the GPU
  gpu_lost,          ///< the session's GPU became unhealthy
  killed,            ///< an operator ended the session
  guest_closed,      ///< the guest process closed its channel or died
  daemon_stopped,    ///< vgpud ends
  internal,          ///< an actor failed; a defect of vgpud
  count
};

struct ErrorInfo {
  ErrorCode code;
  vgpu_end_reason reason;
  std::int32_t result;  ///< CUresult that the guest's calls return; numbers: cuda.h
  const char* text;     ///< what happened and what to do
};

inline constexpr std::int32_t kCudaErrorOutOfMemory = 2;
inline constexpr std::int32_t kCudaErrorDeinitialized = 4;
inline constexpr std::int32_t kCudaErrorDeviceUnavailable = 46;
inline constexpr std::int32_t kCudaErrorNoDevice = 100;
inline constexpr std::int32_t kCudaErrorLaunchTimeout = 702;
inline constexpr std::int32_t kCudaErrorSystemNotReady = 802;
inline constexpr std::int32_t kCudaErrorSystemDriverMismatch = 803;
inline constexpr std::int32_t kCudaErrorNotPermitted = 800;
inline constexpr std::int32_t kCudaErrorUnknown = 999;

inline constexpr std::array<ErrorInfo, static_cast<std::size_t>(ErrorCode::count)> kErrors{{
    {ErrorCode::hello_late, VGPU_END_BAD_REQUEST, kCudaErrorUnknown, "no Hello came within the deadline"},
    {ErrorCode::hello_length, VGPU_END_BAD_REQUEST, kCudaErrorUnknown,
     "the first message is not a Hello of the length that it states"},
    {ErrorCode::hello_magic, VGPU_END_BAD_REQUEST, kCudaErrorUnknown, "the first message is not a Hello"},
    {ErrorCode::hello_version, VGPU_END_VERSION, kCudaErrorSystemDriverMismatch,
     "guest library and daemon speak different versions; install the same release on both sides"},
    {ErrorCode::hello_malformed, VGPU_END_BAD_REQUEST, kCudaErrorUnknown,
     "the Hello holds a text without its end or a reserved field that is not 0"},
    {ErrorCode::hello_unexpected, VGPU_END_BAD_REQUEST, kCudaErrorUnknown, "a second message came after the Hello"},
    {ErrorCode::claim_denied, VGPU_END_LIMIT, kCudaErrorNotPermitted,
     "only root, the daemon's own user and the user of [qemu] may claim a VM id; run without VGPU_VM_ID, or name "
     "QEMU's "
     "user in vgpud.toml"},
    {ErrorCode::unregistered, VGPU_END_LIMIT, kCudaErrorNotPermitted,
     "this VM is not registered and the daemon refuses others; add a [[vm]] to vgpud.toml, or set allow = true in "
     "[unregistered]"},
    {ErrorCode::no_such_pool, VGPU_END_LIMIT, kCudaErrorNoDevice, "there is no pool of this name; check VGPU_POOL"},
    {ErrorCode::vm_connected, VGPU_END_LIMIT, kCudaErrorNotPermitted,
     "another QEMU is connected as this VM; give each VM its own vm-id"},
    {ErrorCode::vm_memory, VGPU_END_BAD_REQUEST, kCudaErrorUnknown, "the device's memory cannot be used"},
    {ErrorCode::too_many, VGPU_END_LIMIT, kCudaErrorSystemNotReady,
     "the daemon serves as many guest processes as it can; end one, or raise vgpud's limit of open files"},
    {ErrorCode::vm_sessions, VGPU_END_LIMIT, kCudaErrorSystemNotReady,
     "this VM has as many sessions as it may have at once (sessions in its [[vm]] or in [unregistered], 1024 at most); "
     "end one of its processes, or raise the number"},
    {ErrorCode::gpu_unhealthy, VGPU_END_LIMIT, kCudaErrorSystemNotReady,
     "the GPUs of this VM's pool are unhealthy; the host's operator sees why in /healthz and vgpud's log, and reloads "
     "vgpud once that is mended"},
    {ErrorCode::pool_drained, VGPU_END_LIMIT, kCudaErrorSystemNotReady,
     "this VM's pool is being drained and takes no new sessions; the host's operator resumes it by vgpuctl resume"},
    {ErrorCode::quarantined, VGPU_END_LIMIT, kCudaErrorNotPermitted,
     "this VM is quarantined: its sessions ended by faults again and again, or the host's operator wished so; the "
     "operator "
     "lifts that by vgpuctl release"},
    {ErrorCode::no_memory, VGPU_END_LIMIT, kCudaErrorOutOfMemory,
     "the host has no memory or descriptors for another session"},
    {ErrorCode::executor_start, VGPU_END_EXECUTOR_START, kCudaErrorSystemNotReady,
     "vgpu-executor could not be started; vgpud's log says why"},
    {ErrorCode::executor_refused, VGPU_END_EXECUTOR_START, kCudaErrorNoDevice,
     "vgpu-executor found no usable GPU; vgpud's log says why"},
    {ErrorCode::executor_late, VGPU_END_EXECUTOR_START, kCudaErrorSystemNotReady,
     "vgpu-executor was not ready within the deadline; the GPU or its driver may hang, see vgpud's log"},
    {ErrorCode::executor_died, VGPU_END_EXECUTOR_DIED, kCudaErrorUnknown, "vgpu-executor died"},
    {ErrorCode::lease_overrun, VGPU_END_WATCHDOG, kCudaErrorLaunchTimeout,
     "its work did not end when others wanted the GPU; make its kernels shorter, or raise the VM's "
     "max_kernel_seconds"},
    {ErrorCode::gpu_lost, VGPU_END_GPU_LOST, kCudaErrorDeviceUnavailable,
     "its GPU failed; start it again, on another GPU if the pool has one"},
    {ErrorCode::killed, VGPU_END_KILLED, kCudaErrorUnknown, "the host's operator ended this session"},
    {ErrorCode::guest_closed, VGPU_END_CLOSED, kCudaErrorDeinitialized, "the guest closed its channel"},
    {ErrorCode::daemon_stopped, VGPU_END_DAEMON_STOPPED, kCudaErrorUnknown, "vgpud was stopped"},
    {ErrorCode::internal, VGPU_END_INTERNAL, kCudaErrorUnknown, "vgpud failed inside; its log says where"},
}};

consteval bool errors_in_order() {
  for (std::size_t i = 0; i < kErrors.size(); ++i)
    if (kErrors[i].code != static_cast<ErrorCode>(i) || kErrors[i].text == nullptr || kErrors[i].text[0] == '\0')
      return false;
  return true;
}
static_assert(errors_in_order(), "kErrors: one entry for each ErrorCode, in the same order");

constexpr const ErrorInfo& error_info(ErrorCode code) noexcept { return kErrors[static_cast<std::size_t>(code)]; }

}  // namespace vgpu::daemon
