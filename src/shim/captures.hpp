#pragma once
#include <cuda.h>
#include <pthread.h>

#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "shim/capture_gate.hpp"
#include "shim/objects.hpp"

/// Stream captures as the program began them: their modes, the streams that take part, the events that were recorded in
/// them. Refusals are decided here, so that calls without an answer fail at once; nodes and dependencies are the
/// host's, where every capture is a relaxed one. All functions: any thread.
namespace vgpu::shim {

struct Capture {
  u64 id = 0;
  CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
  pthread_t thread{};
  u64 origin = 0;  ///< stream
  bool invalidated = false;
  bool ended = false;
  bool existing = false;  ///< it adds to a graph of the program's
  std::vector<u64> streams;
  std::vector<CUgraphNode> given_nodes;  ///< arrays of cuStreamGetCaptureInfo
  std::vector<CUgraphEdgeData> given_edges;
};

class Captures {
 public:
  Captures() = default;
  ~Captures() { open_captures.fetch_sub(static_cast<unsigned>(open_.size()), std::memory_order_relaxed); }
  Captures(const Captures&) = delete;
  Captures& operator=(const Captures&) = delete;

  /// CUDA_ERROR_ILLEGAL_STATE: the stream is captured already.
  CUresult may_begin(u64 stream);
  void begin(u64 stream, u64 id, CUstreamCaptureMode mode, bool existing);
  /// Ends the capture that began in the stream. `ended` null: it goes on, or there is none, and the result says why;
  /// else the result is CUDA_ERROR_STREAM_CAPTURE_INVALIDATED for one whose graph is not to be had.
  CUresult end(u64 stream, std::shared_ptr<const Capture>& ended);
  /// The program destroys the stream.
  void forget_stream(u64 stream);

  enum class Status { none, active, invalidated };
  /// CUDA_ERROR_STREAM_CAPTURE_IMPLICIT: the legacy stream beside a capture in a blocking stream.
  CUresult status(u32 context, u64 stream, Status& status);
  /// Keeps the arrays that cuStreamGetCaptureInfo gives out, until the next ones of the same capture.
  void give(u64 stream, std::vector<CUgraphNode> nodes, std::vector<CUgraphEdgeData> edges,
            const CUgraphNode*& out_nodes, const CUgraphEdgeData*& out_edges);

  /// What a call that submits work returns; `captured`: it becomes a node.
  CUresult route(u32 context, u64 stream, bool& captured);
  /// For calls that have no place in a captured stream: they break its capture.
  CUresult refuse(u32 context, u64 stream);
  /// For calls that may wait for other streams.
  CUresult refuse_unsafe();

  /// False: records and waits have nothing to do with captures. Two relaxed loads.
  bool concern_events() const noexcept { return any_capture() || events_known_.load(std::memory_order_relaxed) != 0; }
  /// cuEventRecord: CUDA_SUCCESS: it is sent. cuStreamWaitEvent: the same, and the stream may join the event's capture.
  CUresult record(u32 context, u64 stream, u64 event, bool external);
  CUresult wait(u32 context, u64 stream, u64 event, bool external);
  /// cuEventQuery, cuEventSynchronize.
  CUresult refuse_event(u64 event);
  void forget_event(u64 event);

 private:
  using Shared = std::shared_ptr<Capture>;
  Shared find(u64 stream) const;
  Shared blocking(u64 context) const;
  CUresult route_locked(u32 context, u64 stream, Shared& capture);
  void close(const Shared& capture);

  std::mutex mutex_;
  std::vector<Shared> open_;
  std::map<u64, Shared> events_;  ///< recorded last in a capture
  std::atomic<std::size_t> events_known_{0};
};

}  // namespace vgpu::shim
