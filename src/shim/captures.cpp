#include "shim/captures.hpp"

#include <algorithm>

#include "shim/session.hpp"

namespace vgpu::shim {

int& CaptureBypass::depth() noexcept {
  thread_local int depth = 0;
  return depth;
}

CUresult pass_capture_gate(CaptureRule rule, u32 context, u64 stream) noexcept {
  if (CaptureBypass::depth() != 0) return CUDA_SUCCESS;
  Captures& captures = state().captures;
  bool captured = false;
  CUresult result = CUDA_SUCCESS;
  switch (rule) {
    case CaptureRule::none:
      return CUDA_SUCCESS;
    case CaptureRule::submits:
      return captures.route(context, stream, captured);
    case CaptureRule::refused:
      return captures.refuse(context, stream);
    case CaptureRule::waits:
      result = captures.refuse(context, stream);
      return result == CUDA_SUCCESS ? captures.refuse_unsafe() : result;
    case CaptureRule::is_unsafe:
      return captures.refuse_unsafe();
  }
  return CUDA_SUCCESS;
}

Captures::Shared Captures::find(u64 stream) const {
  for (const Shared& capture : open_)
    if (std::find(capture->streams.begin(), capture->streams.end(), stream) != capture->streams.end()) return capture;
  return nullptr;
}

/// The capture of a blocking stream of the context, which the legacy stream would have to wait for.
Captures::Shared Captures::blocking(u64 context) const {
  for (const Shared& capture : open_)
    for (const u64 stream : capture->streams) {
      const Stream* known = state().streams.find(stream);
      const bool same = known && protocol::ContextHandle{known->context}.index() == context;
      if (same && !(known->flags & CU_STREAM_NON_BLOCKING)) return capture;
    }
  return nullptr;
}

void Captures::close(const Shared& capture) {
  capture->ended = true;
  std::erase(open_, capture);
  open_captures.fetch_sub(1, std::memory_order_relaxed);
}

CUresult Captures::may_begin(u64 stream) {
  std::lock_guard lock(mutex_);
  return find(stream) ? CUDA_ERROR_ILLEGAL_STATE : CUDA_SUCCESS;
}

void Captures::begin(u64 stream, u64 id, CUstreamCaptureMode mode, bool existing) {
  auto capture = std::make_shared<Capture>();
  capture->id = id;
  capture->mode = mode;
  capture->existing = existing;
  capture->thread = ::pthread_self();
  capture->origin = stream;
  capture->streams.push_back(stream);
  std::lock_guard lock(mutex_);
  open_.push_back(std::move(capture));
  open_captures.fetch_add(1, std::memory_order_relaxed);
}

CUresult Captures::end(u64 stream, std::shared_ptr<const Capture>& ended) {
  std::lock_guard lock(mutex_);
  const Shared capture = find(stream);
  if (!capture) return CUDA_ERROR_ILLEGAL_STATE;
  if (capture->origin != stream) {
    capture->invalidated = true;
    return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
  }
  if (capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED && !::pthread_equal(capture->thread, ::pthread_self()))
    return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
  close(capture);
  ended = capture;
  return capture->invalidated ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : CUDA_SUCCESS;
}

void Captures::forget_stream(u64 stream) {
  if (!any_capture()) return;
  std::lock_guard lock(mutex_);
  const Shared capture = find(stream);
  if (!capture) return;
  capture->invalidated = true;
  std::erase(capture->streams, stream);
  if (capture->origin == stream) close(capture);
}

CUresult Captures::status(u32 context, u64 stream, Status& status) {
  status = Status::none;
  if (!any_capture()) return CUDA_SUCCESS;
  std::lock_guard lock(mutex_);
  if (stream == 0) return blocking(context) ? CUDA_ERROR_STREAM_CAPTURE_IMPLICIT : CUDA_SUCCESS;
  if (const Shared capture = find(stream)) status = capture->invalidated ? Status::invalidated : Status::active;
  return CUDA_SUCCESS;
}

void Captures::give(u64 stream, std::vector<CUgraphNode> nodes, std::vector<CUgraphEdgeData> edges,
                    const CUgraphNode*& out_nodes, const CUgraphEdgeData*& out_edges) {
  std::lock_guard lock(mutex_);
  const Shared capture = find(stream);
  if (!capture) return;
  capture->given_nodes = std::move(nodes);
  capture->given_edges = std::move(edges);
  out_nodes = capture->given_nodes.data();
  out_edges = capture->given_edges.data();
}

CUresult Captures::route_locked(u32 context, u64 stream, Shared& capture) {
  if (stream == 0) {
    const Shared disturbed = blocking(context);
    if (!disturbed) return CUDA_SUCCESS;
    disturbed->invalidated = true;
    return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
  }
  capture = find(stream);
  return capture && capture->invalidated ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : CUDA_SUCCESS;
}

CUresult Captures::route(u32 context, u64 stream, bool& captured) {
  std::lock_guard lock(mutex_);
  Shared capture;
  const CUresult result = route_locked(context, stream, capture);
  captured = result == CUDA_SUCCESS && capture;
  return result;
}

CUresult Captures::refuse(u32 context, u64 stream) {
  std::lock_guard lock(mutex_);
  Shared capture;
  const CUresult result = route_locked(context, stream, capture);
  if (result != CUDA_SUCCESS || !capture) return result;
  capture->invalidated = true;
  return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

CUresult Captures::refuse_unsafe() {
  const CUstreamCaptureMode mode = this_thread().capture_mode;
  if (mode == CU_STREAM_CAPTURE_MODE_RELAXED) return CUDA_SUCCESS;
  std::lock_guard lock(mutex_);
  bool refused = false;
  for (const Shared& capture : open_) {
    if (capture->mode == CU_STREAM_CAPTURE_MODE_RELAXED) continue;
    const bool own = ::pthread_equal(capture->thread, ::pthread_self()) != 0;
    const bool global = mode == CU_STREAM_CAPTURE_MODE_GLOBAL && capture->mode == CU_STREAM_CAPTURE_MODE_GLOBAL;
    if (!own && !global) continue;
    capture->invalidated = true;
    refused = true;
  }
  return refused ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : CUDA_SUCCESS;
}

CUresult Captures::record(u32 context, u64 stream, u64 event, bool external) {
  std::lock_guard lock(mutex_);
  Shared capture;
  const CUresult result = route_locked(context, stream, capture);
  if (result != CUDA_SUCCESS || external) return result;
  if (capture)
    events_[event] = capture;
  else
    events_.erase(event);
  events_known_.store(events_.size(), std::memory_order_relaxed);
  return CUDA_SUCCESS;
}

CUresult Captures::wait(u32 context, u64 stream, u64 event, bool external) {
  std::lock_guard lock(mutex_);
  Shared capture;
  const CUresult result = route_locked(context, stream, capture);
  if (result != CUDA_SUCCESS || (external && capture)) return result;
  const auto found = events_.find(event);
  if (found == events_.end()) {
    if (!capture) return CUDA_SUCCESS;
    capture->invalidated = true;
    return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
  }
  const Shared recorded = found->second;
  if (recorded->ended) {
    if (capture) capture->invalidated = true;
    return CUDA_ERROR_CAPTURED_EVENT;
  }
  if (recorded->invalidated) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  if (capture && capture != recorded) {
    capture->invalidated = recorded->invalidated = true;
    return CUDA_ERROR_STREAM_CAPTURE_MERGE;
  }
  if (stream == 0) {
    recorded->invalidated = true;
    return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
  }
  if (!capture) recorded->streams.push_back(stream);
  return CUDA_SUCCESS;
}

CUresult Captures::refuse_event(u64 event) {
  if (!concern_events()) return CUDA_SUCCESS;
  {
    std::lock_guard lock(mutex_);
    if (const auto found = events_.find(event); found != events_.end()) {
      found->second->invalidated = true;
      return CUDA_ERROR_CAPTURED_EVENT;
    }
  }
  return refuse_unsafe();
}

void Captures::forget_event(u64 event) {
  if (!concern_events()) return;
  std::lock_guard lock(mutex_);
  events_.erase(event);
  events_known_.store(events_.size(), std::memory_order_relaxed);
}

}  // namespace vgpu::shim
