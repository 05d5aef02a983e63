#include <algorithm>
#include <iterator>

#include "softgpu/driver_api.hpp"

namespace {

struct Text {
  CUresult error;
  const char* name;
  const char* text;
};

#define VGPU_ERROR(name, text) \
  { name, #name, text }
/// In ascending order.
constexpr Text kTexts[] = {
    VGPU_ERROR(CUDA_SUCCESS, "no error"),
    VGPU_ERROR(CUDA_ERROR_INVALID_VALUE, "invalid argument"),
    VGPU_ERROR(CUDA_ERROR_OUT_OF_MEMORY, "out of memory"),
    VGPU_ERROR(CUDA_ERROR_NOT_INITIALIZED, "initialization error"),
    VGPU_ERROR(CUDA_ERROR_DEINITIALIZED, "driver shutting down"),
    VGPU_ERROR(CUDA_ERROR_PROFILER_DISABLED, "profiler disabled"),
    VGPU_ERROR(CUDA_ERROR_PROFILER_NOT_INITIALIZED, "profiler not initialized"),
    VGPU_ERROR(CUDA_ERROR_PROFILER_ALREADY_STARTED, "profiler already started"),
    VGPU_ERROR(CUDA_ERROR_PROFILER_ALREADY_STOPPED, "profiler already stopped"),
    VGPU_ERROR(CUDA_ERROR_STUB_LIBRARY, "stub library"),
    VGPU_ERROR(CUDA_ERROR_CALL_REQUIRES_NEWER_DRIVER, "call requires newer driver"),
    VGPU_ERROR(CUDA_ERROR_DEVICE_UNAVAILABLE, "device unavailable"),
    VGPU_ERROR(CUDA_ERROR_NO_DEVICE, "no CUDA-capable device is detected"),
    VGPU_ERROR(CUDA_ERROR_INVALID_DEVICE, "invalid device ordinal"),
    VGPU_ERROR(CUDA_ERROR_DEVICE_NOT_LICENSED, "device not licensed"),
    VGPU_ERROR(CUDA_ERROR_INVALID_IMAGE, "device kernel image is invalid"),
    VGPU_ERROR(CUDA_ERROR_INVALID_CONTEXT, "invalid device context"),
    VGPU_ERROR(CUDA_ERROR_CONTEXT_ALREADY_CURRENT, "context already current"),
    VGPU_ERROR(CUDA_ERROR_MAP_FAILED, "map failed"),
    VGPU_ERROR(CUDA_ERROR_UNMAP_FAILED, "unmap failed"),
    VGPU_ERROR(CUDA_ERROR_ARRAY_IS_MAPPED, "array is mapped"),
    VGPU_ERROR(CUDA_ERROR_ALREADY_MAPPED, "already mapped"),
    VGPU_ERROR(CUDA_ERROR_NO_BINARY_FOR_GPU, "no kernel image is available for execution on the device"),
    VGPU_ERROR(CUDA_ERROR_ALREADY_ACQUIRED, "already acquired"),
    VGPU_ERROR(CUDA_ERROR_NOT_MAPPED, "not mapped"),
    VGPU_ERROR(CUDA_ERROR_NOT_MAPPED_AS_ARRAY, "not mapped as array"),
    VGPU_ERROR(CUDA_ERROR_NOT_MAPPED_AS_POINTER, "not mapped as pointer"),
    VGPU_ERROR(CUDA_ERROR_ECC_UNCORRECTABLE, "ecc uncorrectable"),
    VGPU_ERROR(CUDA_ERROR_UNSUPPORTED_LIMIT, "unsupported limit"),
    VGPU_ERROR(CUDA_ERROR_CONTEXT_ALREADY_IN_USE, "context already in use"),
    VGPU_ERROR(CUDA_ERROR_PEER_ACCESS_UNSUPPORTED, "peer access unsupported"),
    VGPU_ERROR(CUDA_ERROR_INVALID_PTX, "a PTX JIT compilation failed"),
    VGPU_ERROR(CUDA_ERROR_INVALID_GRAPHICS_CONTEXT, "invalid graphics context"),
    VGPU_ERROR(CUDA_ERROR_NVLINK_UNCORRECTABLE, "nvlink uncorrectable"),
    VGPU_ERROR(CUDA_ERROR_JIT_COMPILER_NOT_FOUND, "jit compiler not found"),
    VGPU_ERROR(CUDA_ERROR_UNSUPPORTED_PTX_VERSION, "the provided PTX was compiled with an unsupported toolchain."),
    VGPU_ERROR(CUDA_ERROR_JIT_COMPILATION_DISABLED, "jit compilation disabled"),
    VGPU_ERROR(CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY, "unsupported exec affinity"),
    VGPU_ERROR(CUDA_ERROR_UNSUPPORTED_DEVSIDE_SYNC, "unsupported devside sync"),
    VGPU_ERROR(CUDA_ERROR_CONTAINED, "contained"),
    VGPU_ERROR(CUDA_ERROR_INVALID_SOURCE, "invalid source"),
    VGPU_ERROR(CUDA_ERROR_FILE_NOT_FOUND, "file not found"),
    VGPU_ERROR(CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND, "shared object symbol not found"),
    VGPU_ERROR(CUDA_ERROR_SHARED_OBJECT_INIT_FAILED, "shared object init failed"),
    VGPU_ERROR(CUDA_ERROR_OPERATING_SYSTEM, "operating system"),
    VGPU_ERROR(CUDA_ERROR_INVALID_HANDLE, "invalid resource handle"),
    VGPU_ERROR(CUDA_ERROR_ILLEGAL_STATE, "illegal state"),
    VGPU_ERROR(CUDA_ERROR_LOSSY_QUERY, "lossy query"),
    VGPU_ERROR(CUDA_ERROR_NOT_FOUND, "named symbol not found"),
    VGPU_ERROR(CUDA_ERROR_NOT_READY, "device not ready"),
    VGPU_ERROR(CUDA_ERROR_ILLEGAL_ADDRESS, "an illegal memory access was encountered"),
    VGPU_ERROR(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "too many resources requested for launch"),
    VGPU_ERROR(CUDA_ERROR_LAUNCH_TIMEOUT, "the launch timed out and was terminated"),
    VGPU_ERROR(CUDA_ERROR_LAUNCH_INCOMPATIBLE_TEXTURING, "launch incompatible texturing"),
    VGPU_ERROR(CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED, "peer access already enabled"),
    VGPU_ERROR(CUDA_ERROR_PEER_ACCESS_NOT_ENABLED, "peer access not enabled"),
    VGPU_ERROR(CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE, "primary context active"),
    VGPU_ERROR(CUDA_ERROR_CONTEXT_IS_DESTROYED, "context is destroyed"),
    VGPU_ERROR(CUDA_ERROR_ASSERT, "device-side assert triggered"),
    VGPU_ERROR(CUDA_ERROR_TOO_MANY_PEERS, "too many peers"),
    VGPU_ERROR(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED,
               "part or all of the requested memory range is already mapped"),
    VGPU_ERROR(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, "pointer does not correspond to a registered memory region"),
    VGPU_ERROR(CUDA_ERROR_HARDWARE_STACK_ERROR, "hardware stack error"),
    VGPU_ERROR(CUDA_ERROR_ILLEGAL_INSTRUCTION, "an illegal instruction was encountered"),
    VGPU_ERROR(CUDA_ERROR_MISALIGNED_ADDRESS, "misaligned address"),
    VGPU_ERROR(CUDA_ERROR_INVALID_ADDRESS_SPACE, "invalid address space"),
    VGPU_ERROR(CUDA_ERROR_INVALID_PC, "invalid pc"),
    VGPU_ERROR(CUDA_ERROR_LAUNCH_FAILED, "unspecified launch failure"),
    VGPU_ERROR(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE, "too many blocks in cooperative launch"),
    VGPU_ERROR(CUDA_ERROR_TENSOR_MEMORY_LEAK, "tensor memory leak"),
    VGPU_ERROR(CUDA_ERROR_NOT_PERMITTED, "operation not permitted"),
    VGPU_ERROR(CUDA_ERROR_NOT_SUPPORTED, "operation not supported"),
    VGPU_ERROR(CUDA_ERROR_SYSTEM_NOT_READY, "system not ready"),
    VGPU_ERROR(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, "system driver mismatch"),
    VGPU_ERROR(CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE, "compat not supported on device"),
    VGPU_ERROR(CUDA_ERROR_MPS_CONNECTION_FAILED, "mps connection failed"),
    VGPU_ERROR(CUDA_ERROR_MPS_RPC_FAILURE, "mps rpc failure"),
    VGPU_ERROR(CUDA_ERROR_MPS_SERVER_NOT_READY, "mps server not ready"),
    VGPU_ERROR(CUDA_ERROR_MPS_MAX_CLIENTS_REACHED, "mps max clients reached"),
    VGPU_ERROR(CUDA_ERROR_MPS_MAX_CONNECTIONS_REACHED, "mps max connections reached"),
    VGPU_ERROR(CUDA_ERROR_MPS_CLIENT_TERMINATED, "mps client terminated"),
    VGPU_ERROR(CUDA_ERROR_CDP_NOT_SUPPORTED, "cdp not supported"),
    VGPU_ERROR(CUDA_ERROR_CDP_VERSION_MISMATCH, "cdp version mismatch"),
    VGPU_ERROR(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "stream capture unsupported"),
    VGPU_ERROR(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "stream capture invalidated"),
    VGPU_ERROR(CUDA_ERROR_STREAM_CAPTURE_MERGE, "stream capture merge"),
    VGPU_ERROR(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, "stream capture unmatched"),
    VGPU_ERROR(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, "stream capture unjoined"),
    VGPU_ERROR(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "stream capture isolation"),
    VGPU_ERROR(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, "stream capture implicit"),
    VGPU_ERROR(CUDA_ERROR_CAPTURED_EVENT, "captured event"),
    VGPU_ERROR(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, "stream capture wrong thread"),
    VGPU_ERROR(CUDA_ERROR_TIMEOUT, "timeout"),
    VGPU_ERROR(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, "graph exec update failure"),
    VGPU_ERROR(CUDA_ERROR_EXTERNAL_DEVICE, "external device"),
    VGPU_ERROR(CUDA_ERROR_INVALID_CLUSTER_SIZE, "invalid cluster size"),
    VGPU_ERROR(CUDA_ERROR_FUNCTION_NOT_LOADED, "function not loaded"),
    VGPU_ERROR(CUDA_ERROR_INVALID_RESOURCE_TYPE, "invalid resource type"),
    VGPU_ERROR(CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION, "invalid resource configuration"),
    VGPU_ERROR(CUDA_ERROR_KEY_ROTATION, "key rotation"),
    VGPU_ERROR(CUDA_ERROR_UNKNOWN, "unknown error"),
};
#undef VGPU_ERROR

constexpr bool before(const Text& a, const Text& b) noexcept { return a.error < b.error; }
static_assert(std::is_sorted(std::begin(kTexts), std::end(kTexts), before));

const Text* find(CUresult error) noexcept {
  const Text wanted{error, nullptr, nullptr};
  const Text* found = std::lower_bound(std::begin(kTexts), std::end(kTexts), wanted, before);
  return found != std::end(kTexts) && found->error == error ? found : nullptr;
}

CUresult give(const char** out, const Text* found, const char* Text::*member) noexcept {
  if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *out = found == nullptr ? nullptr : found->*member;
  return found == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

}  // namespace

CUresult CUDAAPI cuGetErrorName(CUresult error, const char** name) { return give(name, find(error), &Text::name); }

CUresult CUDAAPI cuGetErrorString(CUresult error, const char** text) { return give(text, find(error), &Text::text); }
