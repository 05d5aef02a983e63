#include <utility>

#include "softgpu/capture.hpp"
#include "softgpu/graph_guard.hpp"

using namespace vgpu::softgpu;

namespace {

/// For calls on a stream under graphs_mutex(): function(Stream&).
template <class Function>
CUresult with_captures(CUstream handle, Function&& function) {
  return with_stream(handle, [&](Context&, Stream& stream) {
    const std::lock_guard lock(graphs_mutex());
    return static_cast<CUresult>(function(stream));
  });
}

CUresult begin(CUstream handle, CUstreamCaptureMode mode) {
  return with_captures(handle, [&](Stream& stream) { return begin_capture(stream, nullptr, {}, mode); });
}

CUresult begin_to(CUstream handle, CUgraph graph_handle, const CUgraphNode* nodes, const CUgraphEdgeData* data,
                  std::size_t count, CUstreamCaptureMode mode) {
  return with_captures(handle, [&](Stream& stream) {
    const auto graph = driver().graphs.find(graph_handle);
    if (graph == nullptr || graph->capturing) return CUDA_ERROR_INVALID_VALUE;
    std::vector<GraphEdge> dependencies;
    if (const CUresult error = read_edges(*graph, nodes, data, count, dependencies); error != CUDA_SUCCESS) {
      return error;
    }
    return begin_capture(stream, graph, std::move(dependencies), mode);
  });
}

CUresult end(CUstream handle, CUgraph* graph) {
  return with_captures(
      handle, [&](Stream& stream) { return graph == nullptr ? CUDA_ERROR_INVALID_VALUE : end_capture(stream, graph); });
}

/// What the queries have in common; the legacy stream can't be asked beside a capture, but does not disturb it.
CUresult get_status(Stream& stream, CUstreamCaptureStatus* status, std::shared_ptr<Capture>& capture) {
  if (status == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (stream.kind() == StreamKind::legacy && captures_block(stream)) return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
  capture = capture_of(stream);
  *status = capture == nullptr     ? CU_STREAM_CAPTURE_STATUS_NONE
            : capture->invalidated ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                   : CU_STREAM_CAPTURE_STATUS_ACTIVE;
  return CUDA_SUCCESS;
}

CUresult is_capturing(CUstream handle, CUstreamCaptureStatus* status) {
  return with_captures(handle, [&](Stream& stream) {
    std::shared_ptr<Capture> capture;
    return get_status(stream, status, capture);
  });
}

struct InfoOut {
  CUstreamCaptureStatus* status = nullptr;
  cuuint64_t* id = nullptr;
  CUgraph* graph = nullptr;
  const CUgraphNode** nodes = nullptr;
  const CUgraphEdgeData** edges = nullptr;
  std::size_t* count = nullptr;
};

CUresult get_info(CUstream handle, const InfoOut& out) {
  return with_captures(handle, [&](Stream& stream) {
    if (out.edges != nullptr && out.nodes == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::shared_ptr<Capture> capture;
    if (const CUresult error = get_status(stream, out.status, capture); error != CUDA_SUCCESS) return error;
    if (capture == nullptr || capture->invalidated) return CUDA_SUCCESS;
    const std::vector<GraphEdge>& dependencies = capture->streams[&stream];
    capture->given_nodes.clear();
    capture->given_edges.clear();
    for (const GraphEdge& edge : dependencies) {
      if (out.nodes != nullptr && out.edges == nullptr && edge.data.type != 0) return CUDA_ERROR_LOSSY_QUERY;
      capture->given_nodes.push_back(edge.node->handle);
      capture->given_edges.push_back(edge.data);
    }
    if (out.id != nullptr) *out.id = capture->id;
    if (out.graph != nullptr) *out.graph = capture->graph->handle;
    if (out.nodes != nullptr) *out.nodes = capture->given_nodes.data();
    if (out.edges != nullptr) *out.edges = capture->given_edges.data();
    if (out.count != nullptr) *out.count = dependencies.size();
    return CUDA_SUCCESS;
  });
}

CUresult update_dependencies(CUstream handle, const CUgraphNode* nodes, const CUgraphEdgeData* data, std::size_t count,
                             unsigned flags) {
  return with_captures(handle, [&](Stream& stream) {
    if (flags > CU_STREAM_SET_CAPTURE_DEPENDENCIES) return CUDA_ERROR_INVALID_VALUE;
    const auto capture = capture_of(stream);
    if (capture == nullptr) return CUDA_ERROR_ILLEGAL_STATE;
    if (capture->invalidated) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    std::vector<GraphEdge> edges;
    if (const CUresult error = read_edges(*capture->graph, nodes, data, count, edges); error != CUDA_SUCCESS) {
      return error;
    }
    std::vector<GraphEdge>& dependencies = capture->streams[&stream];
    if (flags == CU_STREAM_SET_CAPTURE_DEPENDENCIES) dependencies.clear();
    add_edges(dependencies, edges);
    return CUDA_SUCCESS;
  });
}

}  // namespace

#undef cuStreamBeginCapture
#undef cuStreamBeginCaptureToGraph
#undef cuStreamEndCapture
#undef cuStreamIsCapturing
#undef cuStreamGetCaptureInfo
#undef cuStreamGetCaptureInfo_v2
#undef cuStreamGetCaptureInfo_v3
#undef cuStreamUpdateCaptureDependencies

VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamBeginCapture(CUstream stream) {
  return begin(stream, CU_STREAM_CAPTURE_MODE_GLOBAL);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamBeginCapture_ptsz(CUstream stream) {
  return begin(per_thread(stream), CU_STREAM_CAPTURE_MODE_GLOBAL);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamBeginCapture_v2(CUstream stream, CUstreamCaptureMode mode) {
  return begin(stream, mode);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamBeginCapture_v2_ptsz(CUstream stream, CUstreamCaptureMode mode) {
  return begin(per_thread(stream), mode);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamBeginCaptureToGraph(CUstream stream, CUgraph graph, const CUgraphNode* nodes,
                                                              const CUgraphEdgeData* data, size_t count,
                                                              CUstreamCaptureMode mode) {
  return begin_to(stream, graph, nodes, data, count, mode);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamBeginCaptureToGraph_ptsz(CUstream stream, CUgraph graph,
                                                                   const CUgraphNode* nodes,
                                                                   const CUgraphEdgeData* data, size_t count,
                                                                   CUstreamCaptureMode mode) {
  return begin_to(per_thread(stream), graph, nodes, data, count, mode);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamEndCapture(CUstream stream, CUgraph* graph) { return end(stream, graph); }
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamEndCapture_ptsz(CUstream stream, CUgraph* graph) {
  return end(per_thread(stream), graph);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus* status) {
  return is_capturing(stream, status);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamIsCapturing_ptsz(CUstream stream, CUstreamCaptureStatus* status) {
  return is_capturing(per_thread(stream), status);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamGetCaptureInfo(CUstream stream, CUstreamCaptureStatus* status,
                                                         cuuint64_t* id) {
  return get_info(stream, {status, id});
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamGetCaptureInfo_ptsz(CUstream stream, CUstreamCaptureStatus* status,
                                                              cuuint64_t* id) {
  return get_info(per_thread(stream), {status, id});
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamGetCaptureInfo_v2(CUstream stream, CUstreamCaptureStatus* status,
                                                            cuuint64_t* id, CUgraph* graph, const CUgraphNode** nodes,
                                                            size_t* count) {
  return get_info(stream, {status, id, graph, nodes, nullptr, count});
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamGetCaptureInfo_v2_ptsz(CUstream stream, CUstreamCaptureStatus* status,
                                                                 cuuint64_t* id, CUgraph* graph,
                                                                 const CUgraphNode** nodes, size_t* count) {
  return get_info(per_thread(stream), {status, id, graph, nodes, nullptr, count});
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamGetCaptureInfo_v3(CUstream stream, CUstreamCaptureStatus* status,
                                                            cuuint64_t* id, CUgraph* graph, const CUgraphNode** nodes,
                                                            const CUgraphEdgeData** edges, size_t* count) {
  return get_info(stream, {status, id, graph, nodes, edges, count});
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamGetCaptureInfo_v3_ptsz(CUstream stream, CUstreamCaptureStatus* status,
                                                                 cuuint64_t* id, CUgraph* graph,
                                                                 const CUgraphNode** nodes,
                                                                 const CUgraphEdgeData** edges, size_t* count) {
  return get_info(per_thread(stream), {status, id, graph, nodes, edges, count});
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamUpdateCaptureDependencies(CUstream stream, CUgraphNode* nodes, size_t count,
                                                                    unsigned int flags) {
  return update_dependencies(stream, nodes, nullptr, count, flags);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamUpdateCaptureDependencies_ptsz(CUstream stream, CUgraphNode* nodes,
                                                                         size_t count, unsigned int flags) {
  return update_dependencies(per_thread(stream), nodes, nullptr, count, flags);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamUpdateCaptureDependencies_v2(CUstream stream, CUgraphNode* nodes,
                                                                       const CUgraphEdgeData* data, size_t count,
                                                                       unsigned int flags) {
  return update_dependencies(stream, nodes, data, count, flags);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamUpdateCaptureDependencies_v2_ptsz(CUstream stream, CUgraphNode* nodes,
                                                                            const CUgraphEdgeData* data, size_t count,
                                                                            unsigned int flags) {
  return update_dependencies(per_thread(stream), nodes, data, count, flags);
}

CUresult CUDAAPI cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode* mode) {
  return with_driver([&](Driver&) {
    if (mode == nullptr || *mode < CU_STREAM_CAPTURE_MODE_GLOBAL || *mode > CU_STREAM_CAPTURE_MODE_RELAXED) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    std::swap(*mode, thread_capture_mode());
    return CUDA_SUCCESS;
  });
}
