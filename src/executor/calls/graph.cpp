#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include "executor/copy_graph.hpp"
#include "executor/graph_lists.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

CUgraph find_graph(Invocation& in, GraphHandle handle) noexcept { return in.session.handles.find<CUgraph>(handle); }
CUgraphNode find_node(Invocation& in, GraphNodeHandle handle) noexcept {
  return in.session.handles.find<CUgraphNode>(handle);
}

/// Gives the driver's new graph a handle, or destroys it.
CUresult register_graph(Invocation& in, CUgraph native, GraphHandle& handle) {
  handle = in.session.graphs.add(native);
  if (handle.value != 0) return CUDA_SUCCESS;
  in.cuda.cuGraphDestroy(native);
  return CUDA_ERROR_OUT_OF_MEMORY;
}

/// A list of the driver: get(array, count&), first for its length.
template <typename Get>
CUresult get_nodes(std::vector<CUgraphNode>& nodes, Get&& get) {
  std::size_t count = 0;
  CUresult result = get(nullptr, &count);
  if (result != CUDA_SUCCESS || count == 0) return result;
  nodes.resize(count);
  result = get(nodes.data(), &count);
  nodes.resize(count);
  return result;
}

}  // namespace

VGPU_HANDLER(cuGraphCreate) {
  CUgraph graph = nullptr;
  const CUresult result = in.cuda.cuGraphCreate(&graph, request.flags);
  return result == CUDA_SUCCESS ? register_graph(in, graph, reply.graph) : result;
}

VGPU_HANDLER(cuGraphDestroy) {
  const CUgraph graph = find_graph(in, request.graph);
  if (graph == nullptr || in.session.captures.hold(request.graph)) return CUDA_ERROR_INVALID_VALUE;
  const CUresult result = in.cuda.cuGraphDestroy(graph);
  if (result == CUDA_SUCCESS) in.session.graphs.drop(request.graph);
  in.session.memory.refresh();
  return result;
}

VGPU_HANDLER(cuGraphClone) {
  const CUgraph original = find_graph(in, request.original);
  if (original == nullptr) return CUDA_ERROR_INVALID_VALUE;
  CUgraph graph = nullptr;
  const CUresult result = in.cuda.cuGraphClone(&graph, original);
  return result == CUDA_SUCCESS ? register_graph(in, graph, reply.graph) : result;
}

VGPU_HANDLER(cuGraphNodeFindInClone) {
  const CUgraphNode original = find_node(in, request.original);
  const CUgraph clone = find_graph(in, request.clone);
  if (original == nullptr || clone == nullptr) return CUDA_ERROR_INVALID_VALUE;
  CUgraphNode node = nullptr;
  const CUresult result = in.cuda.cuGraphNodeFindInClone(&node, original, clone);
  if (result != CUDA_SUCCESS) return result;
  reply.node = in.session.graphs.node(request.clone, node);
  return reply.node.value != 0 ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

VGPU_HANDLER(vgpuGraphNodes) {
  const CUgraph graph = find_graph(in, request.graph);
  if (graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::vector<CUgraphNode> nodes;
  const CUresult result = get_nodes(nodes, [&](CUgraphNode* array, std::size_t* count) {
    return request.roots != 0 ? in.cuda.cuGraphGetRootNodes(graph, array, count)
                              : in.cuda.cuGraphGetNodes(graph, array, count);
  });
  if (result != CUDA_SUCCESS) return result;
  return write_list<GraphNodeHandle>(in, request, nodes.size(), reply.total, [&](std::size_t i, GraphNodeHandle& node) {
    node = in.session.graphs.node(request.graph, nodes[i]);
    return node.value != 0;
  });
}

VGPU_HANDLER(cuGraphGetEdges) {
  const CUgraph graph = find_graph(in, request.graph);
  if (graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::vector<CUgraphNode> to;
  std::vector<CUgraphEdgeData> data;
  std::vector<CUgraphNode> from;
  const CUresult result = get_nodes(from, [&](CUgraphNode* array, std::size_t* count) {
    if (array != nullptr) to.resize(*count), data.resize(*count);
    return array != nullptr ? in.cuda.cuGraphGetEdges_v2(graph, array, to.data(), data.data(), count)
                            : in.cuda.cuGraphGetEdges_v2(graph, nullptr, nullptr, nullptr, count);
  });
  if (result != CUDA_SUCCESS) return result;
  Graphs& graphs = in.session.graphs;
  return write_list<GraphEdge>(in, request, from.size(), reply.total, [&](std::size_t i, GraphEdge& edge) {
    edge = wire_edge(graphs.node(request.graph, from[i]), graphs.node(request.graph, to[i]), data[i]);
    return edge.from.value != 0 && edge.to.value != 0;
  });
}

VGPU_HANDLER(vgpuGraphNeighbours) {
  const CUgraphNode node = find_node(in, request.node);
  const GraphHandle graph = in.session.graphs.graph_of(request.node);
  if (node == nullptr || graph.value == 0) return CUDA_ERROR_INVALID_VALUE;
  std::vector<CUgraphEdgeData> data;
  std::vector<CUgraphNode> nodes;
  const CUresult result = get_nodes(nodes, [&](CUgraphNode* array, std::size_t* count) {
    if (array != nullptr) data.resize(*count);
    CUgraphEdgeData* edges = array != nullptr ? data.data() : nullptr;
    return request.dependents != 0 ? in.cuda.cuGraphNodeGetDependentNodes_v2(node, array, edges, count)
                                   : in.cuda.cuGraphNodeGetDependencies_v2(node, array, edges, count);
  });
  if (result != CUDA_SUCCESS) return result;
  return write_list<GraphEdge>(in, request, nodes.size(), reply.total, [&](std::size_t i, GraphEdge& edge) {
    edge = wire_edge(in.session.graphs.node(graph, nodes[i]), {0}, data[i]);
    return edge.from.value != 0;
  });
}

VGPU_HANDLER(cuGraphAddDependencies) {
  const CUgraph graph = find_graph(in, request.graph);
  if (graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
  EdgeList edges;
  const CUresult result = edges.read(in, request.count, true);
  if (result != CUDA_SUCCESS) return result;
  return in.cuda.cuGraphAddDependencies_v2(graph, edges.from.data(), edges.to.data(), edges.data.data(),
                                           edges.from.size());
}

VGPU_HANDLER(cuGraphRemoveDependencies) {
  const CUgraph graph = find_graph(in, request.graph);
  if (graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
  EdgeList edges;
  const CUresult result = edges.read(in, request.count, true);
  if (result != CUDA_SUCCESS) return result;
  return in.cuda.cuGraphRemoveDependencies_v2(graph, edges.from.data(), edges.to.data(), edges.data.data(),
                                              edges.from.size());
}

VGPU_HANDLER(cuGraphNodeGetType) {
  const CUgraphNode node = find_node(in, request.node);
  if (node == nullptr) return CUDA_ERROR_INVALID_VALUE;
  CUgraphNodeType type{};
  const CUresult result = in.cuda.cuGraphNodeGetType(node, &type);
  if (CopyGraph parts; type == CU_GRAPH_NODE_TYPE_GRAPH && find_copy_graph(in.cuda, node, parts))
    type = CU_GRAPH_NODE_TYPE_MEMCPY;
  reply.type = static_cast<u32>(type);
  return result;
}

VGPU_HANDLER(cuGraphDestroyNode) {
  const CUgraphNode node = find_node(in, request.node);
  if (node == nullptr || in.session.captures.hold(in.session.graphs.graph_of(request.node)))
    return CUDA_ERROR_INVALID_VALUE;
  const CUresult result = in.cuda.cuGraphDestroyNode(node);
  if (result == CUDA_SUCCESS) in.session.graphs.drop(request.node);
  return result;
}

VGPU_HANDLER(cuGraphConditionalHandleCreate) {
  const CUgraph graph = find_graph(in, request.graph);
  if (graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
  CUcontext context = nullptr;
  if (request.context.value != 0) {
    if (request.context.well_formed()) context = in.session.contexts.find(request.context.index());
    if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
  }
  CUgraphConditionalHandle condition = 0;
  const CUresult result =
      in.cuda.cuGraphConditionalHandleCreate(&condition, graph, context, request.default_value, request.flags);
  if (result != CUDA_SUCCESS) return result;
  // The driver has none that ends one: it ends with its graph.
  if (!in.session.graphs.add_condition(request.graph, condition)) return CUDA_ERROR_OUT_OF_MEMORY;
  reply.condition = condition;
  return CUDA_SUCCESS;
}

// The driver writes into a file by its path: one in memory, which nobody else sees.
VGPU_HANDLER(vgpuGraphDot) {
  const CUgraph graph = find_graph(in, request.graph);
  if (graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const int file = ::memfd_create("vgpu-graph", MFD_CLOEXEC);
  if (file < 0) return CUDA_ERROR_OPERATING_SYSTEM;
  CUresult result = in.cuda.cuGraphDebugDotPrint(graph, fmt::format("/proc/self/fd/{}", file).c_str(), request.flags);
  const off_t length = ::lseek(file, 0, SEEK_END);
  if (result == CUDA_SUCCESS) {
    std::vector<char> text(length > 0 ? static_cast<std::size_t>(length) : 0);
    if (length < 0 || ::pread(file, text.data(), text.size(), 0) != length)
      result = CUDA_ERROR_OPERATING_SYSTEM;
    else
      result = write_list<char>(in, request, text.size(), reply.total, [&](std::size_t i, char& byte) {
        byte = text[i];
        return true;
      });
  }
  ::close(file);
  return result;
}

}  // namespace vgpu::executor
