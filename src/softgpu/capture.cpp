#include "softgpu/capture.hpp"

#include <algorithm>
#include <unordered_set>

#include "softgpu/context.hpp"
#include "softgpu/driver.hpp"
#include "softgpu/event.hpp"

namespace vgpu::softgpu {
namespace {

/// Guarded by graphs_mutex().
std::vector<std::shared_ptr<Capture>>& captures() {
  static auto* const all = new std::vector<std::shared_ptr<Capture>>;  // threads may still run while the process ends
  return *all;
}

std::uint64_t next_id = 1;

void close(const std::shared_ptr<Capture>& capture) {
  capture->ended = true;
  capture->streams.clear();
  capture->graph->capturing = false;
  std::erase(captures(), capture);
  open_captures().fetch_sub(1, std::memory_order_acq_rel);
}

/// The capture of a blocking stream of this context, which the legacy stream would have to wait for.
std::shared_ptr<Capture> blocking_capture(const Context& context) {
  for (const auto& capture : captures()) {
    for (const auto& [stream, edges] : capture->streams) {
      if (&stream->context() == &context && stream->kind() == StreamKind::blocking) return capture;
    }
  }
  return nullptr;
}

/// True if all nodes that streams other than the origin end with are before what the origin ends with.
bool joined(const Capture& capture) {
  std::unordered_set<const GraphNode*> before;
  std::vector<const GraphNode*> open;
  const auto visit = [&](const GraphNode* node) {
    if (before.insert(node).second) open.push_back(node);
  };
  for (const GraphEdge& edge : capture.streams.at(capture.origin)) visit(edge.node);
  while (!open.empty()) {
    const GraphNode* node = open.back();
    open.pop_back();
    for (const GraphEdge& edge : node->dependencies) visit(edge.node);
  }
  return std::all_of(capture.streams.begin(), capture.streams.end(), [&](const auto& it) {
    return std::all_of(it.second.begin(), it.second.end(),
                       [&](const GraphEdge& edge) { return before.count(edge.node) != 0; });
  });
}

}  // namespace

std::atomic<int>& open_captures() noexcept {
  static std::atomic<int> count{0};
  return count;
}

CUstreamCaptureMode& thread_capture_mode() noexcept {
  thread_local CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
  return mode;
}

void add_edges(std::vector<GraphEdge>& to, const std::vector<GraphEdge>& more) {
  for (const GraphEdge& edge : more) {
    const bool known = std::any_of(to.begin(), to.end(), [&](const GraphEdge& it) { return it.node == edge.node; });
    if (!known) to.push_back(edge);
  }
}

bool captures_block(const Stream& legacy) { return blocking_capture(legacy.context()) != nullptr; }

void invalidate(Capture& capture) { capture.invalidated = true; }

std::shared_ptr<Capture> capture_of(Stream& stream) {
  for (const auto& capture : captures()) {
    if (capture->streams.count(&stream) != 0) return capture;
  }
  return nullptr;
}

CUresult route(Stream& stream, bool& is_captured) {
  is_captured = false;
  if (stream.kind() == StreamKind::legacy) {
    const auto capture = blocking_capture(stream.context());
    if (capture == nullptr) return CUDA_SUCCESS;
    invalidate(*capture);
    return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
  }
  const auto capture = capture_of(stream);
  if (capture == nullptr) return CUDA_SUCCESS;
  if (capture->invalidated) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  is_captured = true;
  return CUDA_SUCCESS;
}

GraphNode& capture_node(Stream& stream, SharedWork work) {
  Capture& capture = *capture_of(stream);
  std::vector<GraphEdge>& dependencies = capture.streams[&stream];
  GraphNode& node = capture.graph->add(std::move(work), dependencies);
  dependencies.assign(1, GraphEdge{&node, {}});
  return node;
}

CUresult refuse_unsafe() {
  const CUstreamCaptureMode mode = thread_capture_mode();
  if (mode == CU_STREAM_CAPTURE_MODE_RELAXED) return CUDA_SUCCESS;
  const std::lock_guard lock(graphs_mutex());
  bool refused = false;
  for (const auto& capture : captures()) {
    if (capture->mode == CU_STREAM_CAPTURE_MODE_RELAXED) continue;
    const bool own = capture->thread == std::this_thread::get_id();
    const bool global = mode == CU_STREAM_CAPTURE_MODE_GLOBAL && capture->mode == CU_STREAM_CAPTURE_MODE_GLOBAL;
    if (!own && !global) continue;
    invalidate(*capture);
    refused = true;
  }
  return refused ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : CUDA_SUCCESS;
}

CUresult refuse_captured(Stream& stream) {
  if (!any_capture()) return CUDA_SUCCESS;
  const std::lock_guard lock(graphs_mutex());
  bool is_captured = false;
  if (const CUresult error = route(stream, is_captured); error != CUDA_SUCCESS) return error;
  if (!is_captured) return CUDA_SUCCESS;
  invalidate(*capture_of(stream));
  return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

std::optional<CUresult> capture_record(Stream& stream, CUevent handle, const std::shared_ptr<Event>& event,
                                       bool external) {
  if (!any_capture()) return std::nullopt;
  const std::lock_guard lock(graphs_mutex());
  bool is_captured = false;
  if (const CUresult error = route(stream, is_captured); error != CUDA_SUCCESS) return error;
  if (!is_captured) return std::nullopt;
  const auto capture = capture_of(stream);
  if (external) {
    capture_node(stream, share(EventRecordNode{
                             handle, event, std::make_shared<Stream>(event->context(), StreamKind::non_blocking, 0)}));
    return CUDA_SUCCESS;
  }
  auto point = std::make_shared<CapturedPoint>();
  point->capture = capture;
  for (const GraphEdge& edge : capture->streams[&stream]) point->nodes.push_back(edge.node->handle);
  event->set_captured(std::move(point));
  return CUDA_SUCCESS;
}

std::optional<CUresult> capture_wait(Stream& stream, CUevent handle, const std::shared_ptr<Event>& event,
                                     bool external) {
  const auto point = event->captured();
  if (point == nullptr && !any_capture()) return std::nullopt;
  const std::lock_guard lock(graphs_mutex());
  bool is_captured = false;
  if (const CUresult error = route(stream, is_captured); error != CUDA_SUCCESS) return error;
  const auto capture = is_captured ? capture_of(stream) : nullptr;
  if (external && capture != nullptr) {
    capture_node(stream, share(EventWaitNode{handle, event}));
    return CUDA_SUCCESS;
  }
  if (point == nullptr) {
    if (capture == nullptr) return std::nullopt;
    invalidate(*capture);
    return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
  }
  if (point->capture->ended) {
    if (capture != nullptr) invalidate(*capture);
    return CUDA_ERROR_CAPTURED_EVENT;
  }
  if (point->capture->invalidated) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  if (capture != nullptr && capture != point->capture) {
    invalidate(*capture);
    invalidate(*point->capture);
    return CUDA_ERROR_STREAM_CAPTURE_MERGE;
  }
  if (stream.kind() == StreamKind::legacy) {
    invalidate(*point->capture);
    return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
  }
  std::vector<GraphEdge> edges;
  for (const CUgraphNode node : point->nodes) {
    if (const auto found = driver().graph_nodes.find(node); found != nullptr) edges.push_back({found.get(), {}});
  }
  add_edges(point->capture->streams[&stream], edges);
  return CUDA_SUCCESS;
}

void forget_captures_of(Stream& stream) {
  if (!any_capture()) return;
  const std::lock_guard lock(graphs_mutex());
  const auto capture = capture_of(stream);
  if (capture == nullptr) return;
  invalidate(*capture);
  capture->streams.erase(&stream);
  if (capture->origin != &stream) return;
  // Nobody can end it any more.
  const auto graph = capture->graph;
  close(capture);
  if (!capture->to_existing) graph->forget();
}

CUresult begin_capture(Stream& stream, std::shared_ptr<Graph> graph, std::vector<GraphEdge> dependencies,
                       CUstreamCaptureMode mode) {
  if (mode < CU_STREAM_CAPTURE_MODE_GLOBAL || mode > CU_STREAM_CAPTURE_MODE_RELAXED) return CUDA_ERROR_INVALID_VALUE;
  if (stream.kind() == StreamKind::legacy) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  if (capture_of(stream) != nullptr) return CUDA_ERROR_ILLEGAL_STATE;
  auto capture = std::make_shared<Capture>();
  capture->id = next_id++;
  capture->mode = mode;
  capture->thread = std::this_thread::get_id();
  capture->to_existing = graph != nullptr;
  capture->graph = graph != nullptr ? std::move(graph) : Graph::create();
  capture->graph->capturing = true;
  capture->origin = &stream;
  capture->streams[&stream] = std::move(dependencies);
  captures().push_back(std::move(capture));
  open_captures().fetch_add(1, std::memory_order_acq_rel);
  return CUDA_SUCCESS;
}

CUresult end_capture(Stream& stream, CUgraph* graph) {
  const auto capture = capture_of(stream);
  if (capture == nullptr) return CUDA_ERROR_ILLEGAL_STATE;
  if (capture->origin != &stream) {
    invalidate(*capture);
    return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
  }
  if (capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED && capture->thread != std::this_thread::get_id()) {
    return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
  }
  CUresult error = CUDA_SUCCESS;
  if (capture->invalidated) {
    error = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  } else if (!joined(*capture)) {
    error = CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
  }
  const auto made = capture->graph;
  close(capture);
  if (error != CUDA_SUCCESS && !capture->to_existing) made->forget();
  *graph = error == CUDA_SUCCESS ? made->handle : nullptr;
  return error;
}

}  // namespace vgpu::softgpu
