#include "executor/graph_lists.hpp"

namespace vgpu::executor {

using namespace protocol;

VGPU_HANDLER(cuStreamBeginCapture) {
  CUstream stream = nullptr;
  if (!in.stream(request.stream, stream)) return CUDA_ERROR_INVALID_HANDLE;
  CUresult result = in.cuda.cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_RELAXED);
  if (result != CUDA_SUCCESS) return result;
  CUstreamCaptureStatus status{};
  cuuint64_t id = 0;
  CUgraph graph = nullptr;
  result = in.cuda.cuStreamGetCaptureInfo_v2(stream, &status, &id, &graph, nullptr, nullptr);
  GraphHandle handle{0};
  if (result == CUDA_SUCCESS) {
    handle = in.session.graphs.add(graph);
    if (handle.value == 0) result = CUDA_ERROR_OUT_OF_MEMORY;
  }
  if (result != CUDA_SUCCESS) {
    if (in.cuda.cuStreamEndCapture(stream, &graph) == CUDA_SUCCESS && graph != nullptr) in.cuda.cuGraphDestroy(graph);
    return result;
  }
  in.session.captures.begin(stream, {handle, false});
  reply.id = id;
  reply.graph = handle;
  return CUDA_SUCCESS;
}

VGPU_HANDLER(cuStreamBeginCaptureToGraph) {
  CUstream stream = nullptr;
  if (!in.stream(request.stream, stream)) return CUDA_ERROR_INVALID_HANDLE;
  const auto graph = in.session.handles.find<CUgraph>(request.graph);
  if (graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
  EdgeList edges;
  CUresult result = edges.read(in, request.count, false);
  if (result != CUDA_SUCCESS) return result;
  result = in.cuda.cuStreamBeginCaptureToGraph(stream, graph, edges.from.data(), edges.data.data(), edges.from.size(),
                                               CU_STREAM_CAPTURE_MODE_RELAXED);
  if (result != CUDA_SUCCESS) return result;
  in.session.captures.begin(stream, {request.graph, true});
  CUstreamCaptureStatus status{};
  cuuint64_t id = 0;
  result = in.cuda.cuStreamGetCaptureInfo_v2(stream, &status, &id, nullptr, nullptr, nullptr);
  reply.id = id;
  return CUDA_SUCCESS;
}

VGPU_HANDLER(cuStreamEndCapture) {
  CUstream stream = nullptr;
  if (!in.stream(request.stream, stream)) return CUDA_ERROR_INVALID_HANDLE;
  const Captures::Entry* begun = in.session.captures.find(stream);
  if (begun == nullptr) return CUDA_ERROR_ILLEGAL_STATE;
  const Captures::Entry entry = *begun;
  CUgraph graph = nullptr;
  const CUresult result = in.cuda.cuStreamEndCapture(stream, &graph);
  if (result == CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD) return result;
  in.session.captures.end(stream);
  if (entry.existing) {
    reply.graph = entry.graph;
    return result;
  }
  // The driver destroys the graph of a capture that failed.
  const bool kept = result == CUDA_SUCCESS && graph != nullptr;
  if (kept && request.discard == 0) {
    reply.graph = in.session.graphs.add(graph);
    if (reply.graph.value != 0) return CUDA_SUCCESS;
  }
  if (kept) in.cuda.cuGraphDestroy(graph);
  in.session.graphs.drop(entry.graph);
  return kept && request.discard == 0 ? CUDA_ERROR_OUT_OF_MEMORY : result;
}

VGPU_HANDLER(cuStreamGetCaptureInfo) {
  CUstream stream = nullptr;
  if (!in.stream(request.stream, stream)) return CUDA_ERROR_INVALID_HANDLE;
  CUstreamCaptureStatus status{};
  cuuint64_t id = 0;
  CUgraph graph = nullptr;
  const CUgraphNode* nodes = nullptr;
  const CUgraphEdgeData* edges = nullptr;
  std::size_t count = 0;
  const CUresult result = in.cuda.cuStreamGetCaptureInfo_v3(stream, &status, &id, &graph, &nodes, &edges, &count);
  if (result != CUDA_SUCCESS) return result;
  reply.status = static_cast<u32>(status);
  if (status != CU_STREAM_CAPTURE_STATUS_ACTIVE) return CUDA_SUCCESS;
  reply.id = id;
  reply.graph = in.session.graphs.add(graph);
  if (reply.graph.value == 0) return CUDA_ERROR_OUT_OF_MEMORY;
  return write_list<GraphEdge>(in, request, count, reply.total, [&](std::size_t i, GraphEdge& edge) {
    edge = wire_edge(in.session.graphs.node(reply.graph, nodes[i]), {0}, edges ? edges[i] : CUgraphEdgeData{});
    return edge.from.value != 0;
  });
}

VGPU_HANDLER(cuStreamUpdateCaptureDependencies) {
  CUstream stream = nullptr;
  if (!in.stream(request.stream, stream)) return CUDA_ERROR_INVALID_HANDLE;
  EdgeList edges;
  const CUresult result = edges.read(in, request.count, false);
  if (result != CUDA_SUCCESS) return result;
  return in.cuda.cuStreamUpdateCaptureDependencies_v2(stream, edges.from.data(), edges.data.data(), edges.from.size(),
                                                      request.flags);
}

}  // namespace vgpu::executor
