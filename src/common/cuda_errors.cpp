#include "common/cuda_errors.hpp"

#include <algorithm>
#include <array>

namespace vgpu {
namespace {

struct Entry {
  int code;
  const char* name;
  const char* text;
};

// Ordered by code. Numbers, not cuda.h's enumerators: an older toolkit lacks some of them.
constexpr std::array kEntries{
    Entry{0, "CUDA_SUCCESS", "no error"},
    Entry{1, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    Entry{2, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    Entry{3, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    Entry{4, "CUDA_ERROR_DEINITIALIZED", "driver shutting down"},
    Entry{5, "CUDA_ERROR_PROFILER_DISABLED", "profiler disabled while using external profiling tool"},
    Entry{6, "CUDA_ERROR_PROFILER_NOT_INITIALIZED", "profiler not initialized: call cuProfilerInitialize()"},
    Entry{7, "CUDA_ERROR_PROFILER_ALREADY_STARTED", "profiler already started"},
    Entry{8, "CUDA_ERROR_PROFILER_ALREADY_STOPPED", "profiler already stopped"},
    Entry{34, "CUDA_ERROR_STUB_LIBRARY", "CUDA driver is a stub library"},
    Entry{36, "CUDA_ERROR_CALL_REQUIRES_NEWER_DRIVER", "API call is not supported in the installed CUDA driver"},
    Entry{46, "CUDA_ERROR_DEVICE_UNAVAILABLE", "CUDA-capable device(s) is/are busy or unavailable"},
    Entry{100, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    Entry{101, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    Entry{102, "CUDA_ERROR_DEVICE_NOT_LICENSED", "device doesn't have valid Grid license"},
    Entry{200, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    Entry{201, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    Entry{202, "CUDA_ERROR_CONTEXT_ALREADY_CURRENT", "context already current"},
    Entry{205, "CUDA_ERROR_MAP_FAILED", "mapping of buffer object failed"},
    Entry{206, "CUDA_ERROR_UNMAP_FAILED", "unmapping of buffer object failed"},
    Entry{207, "CUDA_ERROR_ARRAY_IS_MAPPED", "array is mapped"},
    Entry{208, "CUDA_ERROR_ALREADY_MAPPED", "resource already mapped"},
    Entry{209, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    Entry{210, "CUDA_ERROR_ALREADY_ACQUIRED", "resource already acquired"},
    Entry{211, "CUDA_ERROR_NOT_MAPPED", "resource not mapped"},
    Entry{212, "CUDA_ERROR_NOT_MAPPED_AS_ARRAY", "resource not mapped as array"},
    Entry{213, "CUDA_ERROR_NOT_MAPPED_AS_POINTER", "resource not mapped as pointer"},
    Entry{214, "CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered"},
    Entry{215, "CUDA_ERROR_UNSUPPORTED_LIMIT", "limit is not supported on this architecture"},
    Entry{216, "CUDA_ERROR_CONTEXT_ALREADY_IN_USE", "exclusive-thread device already in use by a different thread"},
    Entry{217, "CUDA_ERROR_PEER_ACCESS_UNSUPPORTED", "peer access is not supported between these two devices"},
    Entry{218, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    Entry{219, "CUDA_ERROR_INVALID_GRAPHICS_CONTEXT", "invalid OpenGL or DirectX context"},
    Entry{220, "CUDA_ERROR_NVLINK_UNCORRECTABLE", "uncorrectable NVLink error detected during the execution"},
    Entry{221, "CUDA_ERROR_JIT_COMPILER_NOT_FOUND", "PTX JIT compiler library not found"},
    Entry{222, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the provided PTX was compiled with an unsupported toolchain."},
    Entry{223, "CUDA_ERROR_JIT_COMPILATION_DISABLED", "PTX JIT compilation was disabled"},
    Entry{224, "CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY", "the provided execution affinity is not supported"},
    Entry{225, "CUDA_ERROR_UNSUPPORTED_DEVSIDE_SYNC",
          "the provided PTX contains unsupported call to cudaDeviceSynchronize"},
    Entry{226, "CUDA_ERROR_CONTAINED", "Invalid access of peer GPU memory over nvlink or a hardware error"},
    Entry{300, "CUDA_ERROR_INVALID_SOURCE", "device kernel image is invalid"},
    Entry{301, "CUDA_ERROR_FILE_NOT_FOUND", "file not found"},
    Entry{302, "CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND", "shared object symbol not found"},
    Entry{303, "CUDA_ERROR_SHARED_OBJECT_INIT_FAILED", "shared object initialization failed"},
    Entry{304, "CUDA_ERROR_OPERATING_SYSTEM", "OS call failed or operation not supported on this OS"},
    Entry{400, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    Entry{401, "CUDA_ERROR_ILLEGAL_STATE", "the operation cannot be performed in the present state"},
    Entry{402, "CUDA_ERROR_LOSSY_QUERY", "attempted introspection would be semantically lossy"},
    Entry{500, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    Entry{600, "CUDA_ERROR_NOT_READY", "device not ready"},
    Entry{700, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    Entry{701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    Entry{702, "CUDA_ERROR_LAUNCH_TIMEOUT", "the launch timed out and was terminated"},
    Entry{703, "CUDA_ERROR_LAUNCH_INCOMPATIBLE_TEXTURING", "launch uses incompatible texturing mode"},
    Entry{704, "CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED", "peer access is already enabled"},
    Entry{705, "CUDA_ERROR_PEER_ACCESS_NOT_ENABLED", "peer access has not been enabled"},
    Entry{708, "CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE", "cannot set while device is active in this process"},
    Entry{709, "CUDA_ERROR_CONTEXT_IS_DESTROYED", "context is destroyed"},
    Entry{710, "CUDA_ERROR_ASSERT", "device-side assert triggered"},
    Entry{711, "CUDA_ERROR_TOO_MANY_PEERS", "peer mapping resources exhausted"},
    Entry{712, "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED",
          "part or all of the requested memory range is already mapped"},
    Entry{713, "CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED", "pointer does not correspond to a registered memory region"},
    Entry{714, "CUDA_ERROR_HARDWARE_STACK_ERROR", "hardware stack error"},
    Entry{715, "CUDA_ERROR_ILLEGAL_INSTRUCTION", "an illegal instruction was encountered"},
    Entry{716, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
    Entry{717, "CUDA_ERROR_INVALID_ADDRESS_SPACE", "operation not supported on global/shared address space"},
    Entry{718, "CUDA_ERROR_INVALID_PC", "invalid program counter"},
    Entry{719, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    Entry{720, "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE", "too many blocks in cooperative launch"},
    Entry{721, "CUDA_ERROR_TENSOR_MEMORY_LEAK", "tensor memory not completely freed"},
    Entry{800, "CUDA_ERROR_NOT_PERMITTED", "operation not permitted"},
    Entry{801, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    Entry{802, "CUDA_ERROR_SYSTEM_NOT_READY", "system not yet initialized"},
    Entry{803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "system has unsupported display driver / cuda driver combination"},
    Entry{804, "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE", "forward compatibility was attempted on non supported HW"},
    Entry{805, "CUDA_ERROR_MPS_CONNECTION_FAILED",
          "MPS client failed to connect to the MPS control daemon or the MPS server"},
    Entry{806, "CUDA_ERROR_MPS_RPC_FAILURE",
          "the remote procedural call between the MPS server and the MPS client failed"},
    Entry{807, "CUDA_ERROR_MPS_SERVER_NOT_READY", "MPS server is not ready to accept new MPS client requests"},
    Entry{808, "CUDA_ERROR_MPS_MAX_CLIENTS_REACHED",
          "the hardware resources required to create MPS client have been exhausted"},
    Entry{809, "CUDA_ERROR_MPS_MAX_CONNECTIONS_REACHED",
          "the hardware resources required to support device connections have been exhausted"},
    Entry{810, "CUDA_ERROR_MPS_CLIENT_TERMINATED", "the MPS client has been terminated by the server"},
    Entry{811, "CUDA_ERROR_CDP_NOT_SUPPORTED",
          "is using CUDA Dynamic Parallelism, but the current configuration, like MPS, does not support it"},
    Entry{812, "CUDA_ERROR_CDP_VERSION_MISMATCH",
          "unsupported interaction between different versions of CUDA Dynamic Parallelism"},
    Entry{900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"},
    Entry{901, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "operation failed due to a previous error during capture"},
    Entry{902, "CUDA_ERROR_STREAM_CAPTURE_MERGE", "operation would result in a merge of separate capture sequences"},
    Entry{903, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED", "capture was not ended in the same stream as it began"},
    Entry{904, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED", "capturing stream has unjoined work"},
    Entry{905, "CUDA_ERROR_STREAM_CAPTURE_ISOLATION", "dependency created on uncaptured work in another stream"},
    Entry{906, "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT",
          "operation would make the legacy stream depend on a capturing blocking stream"},
    Entry{907, "CUDA_ERROR_CAPTURED_EVENT", "operation not permitted on an event last recorded in a capturing stream"},
    Entry{908, "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD",
          "attempt to terminate a thread-local capture sequence from another thread"},
    Entry{909, "CUDA_ERROR_TIMEOUT", "wait operation timed out"},
    Entry{910, "CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE",
          "the graph update was not performed because it included changes which violated constraints specific to "
          "instantiated graph update"},
    Entry{911, "CUDA_ERROR_EXTERNAL_DEVICE", "an async error has occured in external entity outside of CUDA"},
    Entry{912, "CUDA_ERROR_INVALID_CLUSTER_SIZE", "a kernel launch error has occurred due to cluster misconfiguration"},
    Entry{913, "CUDA_ERROR_FUNCTION_NOT_LOADED",
          "the function handle is not loaded when calling an API that requires a loaded function"},
    Entry{914, "CUDA_ERROR_INVALID_RESOURCE_TYPE",
          "one or more resources passed in are not valid resource types for the operation"},
    Entry{915, "CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION",
          "one or more resources are insufficient or non-applicable for the operation"},
    Entry{916, "CUDA_ERROR_KEY_ROTATION", "operation not permitted while a key rotation is due"},
    Entry{999, "CUDA_ERROR_UNKNOWN", "unknown error"},
};
static_assert(std::is_sorted(kEntries.begin(), kEntries.end(),
                             [](const Entry& a, const Entry& b) { return a.code < b.code; }));

const Entry* find(int result) noexcept {
  const auto* entry = std::lower_bound(kEntries.begin(), kEntries.end(), result,
                                       [](const Entry& candidate, int code) { return candidate.code < code; });
  return entry != kEntries.end() && entry->code == result ? entry : nullptr;
}

}  // namespace

const char* cuda_error_name(int result) noexcept {
  const Entry* entry = find(result);
  return entry ? entry->name : nullptr;
}

const char* cuda_error_text(int result) noexcept {
  const Entry* entry = find(result);
  return entry ? entry->text : nullptr;
}

bool cuda_error_is_sticky(int result) noexcept {
  switch (result) {
    case 214:  // ECC_UNCORRECTABLE
    case 220:  // NVLINK_UNCORRECTABLE
    case 226:  // CONTAINED
    case 700:  // ILLEGAL_ADDRESS
    case 702:  // LAUNCH_TIMEOUT
    case 710:  // ASSERT
    case 714:  // HARDWARE_STACK_ERROR
    case 715:  // ILLEGAL_INSTRUCTION
    case 716:  // MISALIGNED_ADDRESS
    case 717:  // INVALID_ADDRESS_SPACE
    case 718:  // INVALID_PC
    case 719:  // LAUNCH_FAILED
      return true;
    default:
      return false;
  }
}

}  // namespace vgpu
