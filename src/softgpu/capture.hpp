#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>
#include <unordered_map>
#include <vector>

#include "softgpu/graph.hpp"
#include "softgpu/stream.hpp"

namespace vgpu::softgpu {

class Event;

/// A capture: streams whose work becomes nodes of a graph instead of being run. Under graphs_mutex().
struct Capture {
  std::uint64_t id = 0;
  CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
  std::thread::id thread;
  std::shared_ptr<Graph> graph;
  bool to_existing = false;  ///< the program's own graph: it outlives a failed capture
  bool invalidated = false;
  bool ended = false;
  Stream* origin = nullptr;
  /// The nodes that the next one of each stream depends on.
  std::unordered_map<Stream*, std::vector<GraphEdge>> streams;
  std::vector<CUgraphNode> given_nodes;  ///< cuStreamGetCaptureInfo's arrays
  std::vector<CUgraphEdgeData> given_edges;
};

/// Where an event was recorded in a capture.
struct CapturedPoint {
  std::shared_ptr<Capture> capture;
  std::vector<CUgraphNode> nodes;
};

/// Captures that have not ended: one load tells plain submissions that there is none.
std::atomic<int>& open_captures() noexcept;
inline bool any_capture() noexcept { return open_captures().load(std::memory_order_acquire) != 0; }

/// The capture that the stream takes part in; null if it runs its work.
std::shared_ptr<Capture> capture_of(Stream& stream);

/// Whether work for the stream is captured. CUDA_ERROR_STREAM_CAPTURE_INVALIDATED; CUDA_ERROR_STREAM_CAPTURE_IMPLICIT
/// for the legacy stream beside a capture in a blocking stream, which ends that capture.
CUresult route(Stream& stream, bool& captures);
/// Adds a node behind the stream's dependencies; it is what the next one depends on.
GraphNode& capture_node(Stream& stream, SharedWork work);

/// What a call that submits work asks first, when it has checked its arguments: nothing if the work is to be run, else
/// what the call returns. `make` gives the node's work.
template <class Make>
std::optional<CUresult> captured(Stream& stream, const Make& make) {
  if (!any_capture()) return std::nullopt;
  const std::lock_guard lock(graphs_mutex());
  bool captures = false;
  if (const CUresult error = route(stream, captures); error != CUDA_SUCCESS) return error;
  if (!captures) return std::nullopt;
  capture_node(stream, make());
  return CUDA_SUCCESS;
}

/// For calls that a capture can't see and that may be unsafe beside one: CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, and the
/// captures concerned are invalidated, by the rules of cuThreadExchangeStreamCaptureMode.
CUresult refuse_unsafe();
inline CUresult unsafe_in_capture() { return any_capture() ? refuse_unsafe() : CUDA_SUCCESS; }
/// For calls that wait for a stream or ask for its state: they conflict with its capture in every mode.
CUresult refuse_captured(Stream& stream);

/// True for a legacy stream beside a capture in a blocking stream of its context.
bool captures_block(const Stream& legacy);
void invalidate(Capture& capture);
CUstreamCaptureMode& thread_capture_mode() noexcept;

/// cuEventRecord and cuStreamWaitEvent where a capture takes part; nothing if none does.
std::optional<CUresult> capture_record(Stream& stream, CUevent handle, const std::shared_ptr<Event>& event,
                                       bool external);
std::optional<CUresult> capture_wait(Stream& stream, CUevent handle, const std::shared_ptr<Event>& event,
                                     bool external);
void add_edges(std::vector<GraphEdge>& to, const std::vector<GraphEdge>& more);
/// The stream is destroyed.
void forget_captures_of(Stream& stream);

CUresult begin_capture(Stream& stream, std::shared_ptr<Graph> graph, std::vector<GraphEdge> dependencies,
                       CUstreamCaptureMode mode);
CUresult end_capture(Stream& stream, CUgraph* graph);

}  // namespace vgpu::softgpu
