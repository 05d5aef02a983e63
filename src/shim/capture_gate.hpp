#pragma once
#include <cuda.h>

#include <atomic>
#include <type_traits>

#include "protocol/catalogue.hpp"

/// What stream captures forbid, decided from a call's declaration: each call that is sent passes here. While no capture
/// is open that is one relaxed load.
namespace vgpu::shim {

enum class CaptureRule {
  none,
  submits,   ///< work for a stream: becomes a node where the stream is captured
  refused,   ///< has no place in a captured stream
  waits,     ///< refused in a captured stream, and unsafe beside other captures
  is_unsafe  ///< may wait for other streams: forbidden beside captures by the rules of
             ///< cuThreadExchangeStreamCaptureMode
};

template <typename Call, typename... Calls>
inline constexpr bool kOneOf = (std::is_same_v<Call, Calls> || ...);

template <typename Call>
consteval CaptureRule capture_rule() {
  namespace call = protocol::call;
  using enum CaptureRule;
  if (kOneOf<Call, call::cuStreamAddCallback>) return refused;
  if (kOneOf<Call, call::cuStreamSynchronize, call::cuStreamQuery>) return waits;
  if (kOneOf<Call, call::cuMemAlloc, call::cuMemAllocPitch, call::cuMemHostAlloc, call::cuCtxSynchronize>)
    return is_unsafe;
  // Records of events and waits for them have rules of their own (captures.hpp).
  if (kOneOf<Call, call::cuStreamCreateWithPriority, call::cuStreamDestroy, call::cuEventRecordWithFlags,
             call::cuStreamWaitEvent, call::cuGraphUpload>)
    return none;
  if constexpr (requires(const typename Call::Request& request) { request.stream; })
    if (Call::mode == protocol::Mode::async || kOneOf<Call, call::cuMemAllocAsync>) return submits;
  return none;
}

/// Captures that the program has begun and not ended.
inline std::atomic<unsigned> open_captures{0};
inline bool any_capture() noexcept { return open_captures.load(std::memory_order_relaxed) != 0; }

/// The error that the rule gives now, or CUDA_SUCCESS. `context`: index of the call's; `stream`: resolved handle.
CUresult pass_capture_gate(CaptureRule rule, protocol::u32 context, protocol::u64 stream) noexcept;

template <typename Call>
CUresult capture_gate(protocol::u32 context, const typename Call::Request& request) noexcept {
  constexpr CaptureRule rule = capture_rule<Call>();
  if constexpr (rule != CaptureRule::none) {
    if (any_capture()) [[unlikely]] {
      if constexpr (requires { request.stream; })
        return pass_capture_gate(rule, context, request.stream.value);
      else
        return pass_capture_gate(rule, context, 0);
    }
  }
  return CUDA_SUCCESS;
}

/// True for what the gate and the driver say of captures: the call had no effect but on its capture.
constexpr bool is_capture_error(CUresult result) noexcept {
  return result >= CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED && result <= CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
}

/// While one lives, calls of this thread pass the gate: the shim's own, which the program did not make.
class CaptureBypass {
 public:
  CaptureBypass() noexcept { ++depth(); }
  ~CaptureBypass() { --depth(); }
  CaptureBypass(const CaptureBypass&) = delete;
  CaptureBypass& operator=(const CaptureBypass&) = delete;
  static int& depth() noexcept;
};

}  // namespace vgpu::shim
