// Stream capture. Modes and what they forbid are this process's (captures.hpp); the nodes are the host's.
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include <algorithm>

#include "shim/graph_list.hpp"
#include "shim/refuse_as.hpp"
#include "shim/stream.hpp"

using namespace vgpu::shim;

namespace {

CUresult may_begin(StreamHandle stream, CUstreamCaptureMode mode) {
  if (static_cast<u32>(mode) > CU_STREAM_CAPTURE_MODE_RELAXED) return CUDA_ERROR_INVALID_VALUE;
  if (stream.value == 0) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  return state().captures.may_begin(stream.value);
}

CUresult begin(CUstream stream, CUstreamCaptureMode mode) {
  return with_stream(stream, [&](Context& context, StreamHandle handle) -> CUresult {
    CUresult result = may_begin(handle, mode);
    if (result != CUDA_SUCCESS) return result;
    call::cuStreamBeginCapture::Reply reply{};
    result = ask<call::cuStreamBeginCapture>(context.index(), {handle}, &reply);
    if (result == CUDA_SUCCESS) state().captures.begin(handle.value, reply.id, mode, false);
    return result;
  });
}

struct InfoOut {
  CUstreamCaptureStatus* status = nullptr;
  cuuint64_t* id = nullptr;
  CUgraph* graph = nullptr;
  const CUgraphNode** nodes = nullptr;
  const CUgraphEdgeData** edges = nullptr;
  size_t* count = nullptr;
};

CUresult get_active(const Context& context, StreamHandle stream, const InfoOut& out) {
  std::vector<GraphEdge> list;
  u64 total = 0;
  call::cuStreamGetCaptureInfo::Reply info{};
  const CUresult result =
      read_list(out.nodes != nullptr, list, total, [&](Offset into, u64 room, u64 first, u64& length) {
        const CUresult answered =
            ask<call::cuStreamGetCaptureInfo>(context.index(), {stream, into, room, first}, &info);
        length = info.total;
        return answered;
      });
  if (result != CUDA_SUCCESS) return result;
  *out.status = static_cast<CUstreamCaptureStatus>(info.status);
  if (info.status != CU_STREAM_CAPTURE_STATUS_ACTIVE) return CUDA_SUCCESS;
  if (out.nodes && !out.edges && !std::all_of(list.begin(), list.end(), is_plain)) return CUDA_ERROR_LOSSY_QUERY;
  if (out.nodes) {
    std::vector<CUgraphNode> nodes;
    std::vector<CUgraphEdgeData> edges;
    for (const GraphEdge& edge : list) {
      nodes.push_back(as_node(edge.from));
      edges.push_back(edge_data(edge));
    }
    const CUgraphEdgeData* unused = nullptr;
    state().captures.give(stream.value, std::move(nodes), std::move(edges), *out.nodes,
                          out.edges ? *out.edges : unused);
  }
  if (out.id) *out.id = info.id;
  if (out.graph) *out.graph = as_graph(info.graph);
  if (out.count) *out.count = total;
  return CUDA_SUCCESS;
}

CUresult get_info(CUstream stream, const InfoOut& out) {
  return with_stream(stream, [&](Context& context, StreamHandle handle) -> CUresult {
    if (!out.status || (out.edges && !out.nodes)) return CUDA_ERROR_INVALID_VALUE;
    auto known = Captures::Status::none;
    const CUresult result = state().captures.status(context.index(), handle.value, known);
    if (result != CUDA_SUCCESS) return result;
    // The host may know of a failure that broke the capture.
    if (known == Captures::Status::active) return get_active(context, handle, out);
    *out.status =
        known == Captures::Status::none ? CU_STREAM_CAPTURE_STATUS_NONE : CU_STREAM_CAPTURE_STATUS_INVALIDATED;
    return CUDA_SUCCESS;
  });
}

CUresult update_dependencies(CUstream stream, const CUgraphNode* nodes, const CUgraphEdgeData* data, size_t count,
                             unsigned flags) {
  return with_stream(stream, [&](Context& context, StreamHandle handle) -> CUresult {
    if (flags > CU_STREAM_SET_CAPTURE_DEPENDENCIES || (count != 0 && !nodes)) return CUDA_ERROR_INVALID_VALUE;
    auto known = Captures::Status::none;
    CUresult result = state().captures.status(context.index(), handle.value, known);
    if (result != CUDA_SUCCESS) return result;
    if (known == Captures::Status::none) return CUDA_ERROR_ILLEGAL_STATE;
    if (known == Captures::Status::invalidated) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    size_t done = 0;
    do {
      const auto piece = static_cast<u32>(std::min<size_t>(count - done, vgpu::protocol::kMaxEdgesInRecord));
      // Only the first piece may replace what there is.
      const u32 how = done == 0 ? flags : u32{CU_STREAM_ADD_CAPTURE_DEPENDENCIES};
      const auto tail = edge_tail(nodes + done, nullptr, data ? data + done : nullptr, piece);
      result = ask<call::cuStreamUpdateCaptureDependencies>(context.index(), {handle, piece, how}, nullptr, tail);
      done += piece;
    } while (result == CUDA_SUCCESS && done < count);
    return result;
  });
}

}  // namespace

extern "C" {

CUresult CUDAAPI cuStreamBeginCapture(CUstream stream) { return begin(stream, CU_STREAM_CAPTURE_MODE_GLOBAL); }
CUresult CUDAAPI cuStreamBeginCapture_v2(CUstream stream, CUstreamCaptureMode mode) { return begin(stream, mode); }

CUresult CUDAAPI cuStreamBeginCaptureToGraph(CUstream stream, CUgraph graph, const CUgraphNode* nodes,
                                             const CUgraphEdgeData* data, size_t count, CUstreamCaptureMode mode) {
  return with_stream(stream, [&](Context& context, StreamHandle handle) -> CUresult {
    if (count != 0 && !nodes) return CUDA_ERROR_INVALID_VALUE;
    if (count > vgpu::protocol::kMaxEdgesInRecord)
      return refuse_as("cuStreamBeginCaptureToGraph", "a capture that begins after so many nodes");
    CUresult result = may_begin(handle, mode);
    if (result != CUDA_SUCCESS) return result;
    call::cuStreamBeginCaptureToGraph::Reply reply{};
    result = ask<call::cuStreamBeginCaptureToGraph>(context.index(),
                                                    {handle, graph_handle(graph), static_cast<u32>(count), 0}, &reply,
                                                    edge_tail(nodes, nullptr, data, count));
    if (result == CUDA_SUCCESS) state().captures.begin(handle.value, reply.id, mode, true);
    return result;
  });
}

CUresult CUDAAPI cuStreamEndCapture(CUstream stream, CUgraph* graph) {
  return with_stream(stream, [&](Context& context, StreamHandle handle) -> CUresult {
    if (!graph) return CUDA_ERROR_INVALID_VALUE;
    std::shared_ptr<const Capture> ended;
    const CUresult broken = state().captures.end(handle.value, ended);
    if (!ended) return broken;
    *graph = nullptr;
    call::cuStreamEndCapture::Reply reply{};
    const CUresult result = ask<call::cuStreamEndCapture>(context.index(), {handle, broken != CUDA_SUCCESS, 0}, &reply);
    if (broken != CUDA_SUCCESS) return broken;
    if (result == CUDA_SUCCESS)
      *graph = as_graph(reply.graph);
    else if (reply.graph.value != 0 && !ended->existing)  // a call before failed: what it should have added is missing
      ask<call::cuGraphDestroy>(context.index(), {reply.graph});
    return result;
  });
}

CUresult CUDAAPI cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus* status) {
  return get_info(stream, {.status = status});
}
CUresult CUDAAPI cuStreamGetCaptureInfo(CUstream stream, CUstreamCaptureStatus* status, cuuint64_t* id) {
  return get_info(stream, {.status = status, .id = id});
}
CUresult CUDAAPI cuStreamGetCaptureInfo_v2(CUstream stream, CUstreamCaptureStatus* status, cuuint64_t* id,
                                           CUgraph* graph, const CUgraphNode** nodes, size_t* count) {
  return get_info(stream, {status, id, graph, nodes, nullptr, count});
}
CUresult CUDAAPI cuStreamGetCaptureInfo_v3(CUstream stream, CUstreamCaptureStatus* status, cuuint64_t* id,
                                           CUgraph* graph, const CUgraphNode** nodes, const CUgraphEdgeData** edges,
                                           size_t* count) {
  return get_info(stream, {status, id, graph, nodes, edges, count});
}

CUresult CUDAAPI cuStreamUpdateCaptureDependencies(CUstream stream, CUgraphNode* nodes, size_t count,
                                                   unsigned int flags) {
  return update_dependencies(stream, nodes, nullptr, count, flags);
}
CUresult CUDAAPI cuStreamUpdateCaptureDependencies_v2(CUstream stream, CUgraphNode* nodes, const CUgraphEdgeData* data,
                                                      size_t count, unsigned int flags) {
  return update_dependencies(stream, nodes, data, count, flags);
}

CUresult CUDAAPI cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode* mode) {
  return guarded([&] {
    if (!mode || static_cast<u32>(*mode) > CU_STREAM_CAPTURE_MODE_RELAXED) return CUDA_ERROR_INVALID_VALUE;
    std::swap(this_thread().capture_mode, *mode);
    return CUDA_SUCCESS;
  });
}

}  // extern "C"
