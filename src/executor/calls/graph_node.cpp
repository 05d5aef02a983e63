#include <cstring>

#include "executor/copy_graph.hpp"
#include "executor/launch_attributes.hpp"
#include "executor/node_parameters.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

/// Dependencies at the start of a record's tail, copied out of shared memory.
struct Dependencies {
  std::vector<CUgraphNode> nodes;
  std::vector<CUgraphEdgeData> edges;

  CUresult read(Invocation& in, u32 count) {
    if (count > kMaxNodeDependencies || in.tail.size() < count * sizeof(NodeDependency))
      return in.violate(VGPU_END_BAD_REQUEST, "count of dependencies");
    nodes.reserve(count);
    edges.resize(count);
    for (u32 i = 0; i < count; ++i) {
      NodeDependency it;
      static_assert(sizeof(CUgraphEdgeData) == sizeof it.edge);
      std::memcpy(&it, in.tail.data() + i * sizeof it, sizeof it);
      nodes.push_back(in.session.handles.find<CUgraphNode>(it.node));
      if (nodes.back() == nullptr) return CUDA_ERROR_INVALID_VALUE;
      std::memcpy(&edges[i], &it.edge, sizeof it.edge);
    }
    return CUDA_SUCCESS;
  }
};

/// Room for an answer of any node's parameters. Null: the session ended.
std::byte* answer_room(Invocation& in, Offset answer) {
  std::byte* room = in.session.region.span(answer, kMaxNodeBytes);
  if (room == nullptr) in.violate(VGPU_END_BAD_BULK, "answer");
  return room;
}

CUresult write_answer(Invocation& in, const std::vector<std::byte>& bytes, std::byte* room, u64& length) {
  if (bytes.size() > kMaxNodeBytes) return in.refuse("cuGraphKernelNodeGetParams_v2");
  if (!bytes.empty()) std::memcpy(room, bytes.data(), bytes.size());
  length = bytes.size();
  return CUDA_SUCCESS;
}

/// A copy that can't become one of another form: a graph's topology is what it is.
CUresult refuse_form(Invocation& in) { return in.refuse("cuGraphMemcpyNodeSetParams"); }

/// Calls f(parameters) with what the driver gets for them: themselves, or a child graph for a copy of pageable memory.
template <typename F>
CUresult with_driver_form(Invocation& in, NodeParameters& parameters, F&& f) {
  if (!parameters.functions().any()) return f(parameters.native());
  CUgraphNodeParams child{};
  child.type = CU_GRAPH_NODE_TYPE_GRAPH;
  CUresult result = make_copy_graph(in, parameters.native(), parameters.functions(), child.graph.graph);
  if (result != CUDA_SUCCESS) return result;
  result = f(child);
  in.cuda.cuGraphDestroy(child.graph.graph);
  return result;
}

}  // namespace

VGPU_HANDLER(cuGraphAddNode) {
  const auto graph = in.session.handles.find<CUgraph>(request.graph);
  if (graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::byte* room = nullptr;
  if (request.answer != kInline && (room = answer_room(in, request.answer)) == nullptr) return CUDA_ERROR_UNKNOWN;
  Dependencies dependencies;
  CUresult result = dependencies.read(in, request.dependency_count);
  if (result != CUDA_SUCCESS) return result;
  NodeParameters parameters;
  result = parameters.read(in, request.type, in.tail.subspan(request.dependency_count * sizeof(NodeDependency)), graph);
  if (result != CUDA_SUCCESS) return result;
  const GraphHandle moved = parameters.moved();
  if (moved.value != 0 && (in.session.captures.hold(moved) || !in.session.graphs.may_move(moved, request.graph)))
    return CUDA_ERROR_INVALID_VALUE;
  std::optional<Charge> charge;
  if (parameters.native().type == CU_GRAPH_NODE_TYPE_MEM_ALLOC) {
    const CUDA_MEM_ALLOC_NODE_PARAMS_v2& allocation = parameters.native().alloc;
    in.session.memory.watch_graphs_of(allocation.poolProps.location.id);
    charge = in.session.memory.reserve_for_node(allocation.bytesize);
    if (!charge) return CUDA_ERROR_OUT_OF_MEMORY;
  }
  CUgraphNode node = nullptr;
  result = with_driver_form(in, parameters, [&](CUgraphNodeParams& native) {
    return in.cuda.cuGraphAddNode_v2(&node, graph, dependencies.nodes.data(), dependencies.edges.data(),
                                     dependencies.nodes.size(), &native);
  });
  if (charge) in.session.memory.settle_graph(*std::move(charge));
  if (result != CUDA_SUCCESS) return result;
  reply.node = in.session.graphs.node(request.graph, node);
  if (reply.node.value == 0) {
    in.cuda.cuGraphDestroyNode(node);
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  if (moved.value != 0) in.session.graphs.adopt(reply.node, moved);
  if (room == nullptr) return CUDA_SUCCESS;
  std::vector<std::byte> bytes;
  result = write_parameters(in, reply.node, parameters.native(), parameters.functions(), bytes);
  return result == CUDA_SUCCESS ? write_answer(in, bytes, room, reply.answer_bytes) : result;
}

VGPU_HANDLER(cuGraphNodeSetParams) {
  const auto node = in.session.handles.find<CUgraphNode>(request.node);
  const auto graph = in.session.handles.find<CUgraph>(in.session.graphs.graph_of(request.node));
  if (node == nullptr || graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
  NodeParameters parameters;
  CUresult result = parameters.read(in, request.type, in.tail, graph);
  if (result != CUDA_SUCCESS) return result;
  // A graph moves once, when its node is made.
  if (parameters.moved().value != 0) return CUDA_ERROR_INVALID_VALUE;
  CopyGraph parts;
  if (request.type != CU_GRAPH_NODE_TYPE_MEMCPY || !find_copy_graph(in.cuda, node, parts)) {
    if (parameters.functions().any()) return refuse_form(in);
    result = in.cuda.cuGraphNodeSetParams(node, &parameters.native());
    if (result == CUDA_SUCCESS && request.type == CU_GRAPH_NODE_TYPE_GRAPH) in.session.graphs.drop_owned(request.node);
    return result;
  }
  const CUresult changed = change_copy_graph(in, node, parts, parameters.native(), parameters.functions());
  return changed == CUDA_ERROR_NOT_SUPPORTED ? refuse_form(in) : changed;
}

VGPU_HANDLER(cuGraphExecNodeSetParams) {
  const auto node = in.session.handles.find<CUgraphNode>(request.node);
  const auto exec = in.session.handles.find<CUgraphExec>(request.exec);
  if (node == nullptr || exec == nullptr) return CUDA_ERROR_INVALID_VALUE;
  NodeParameters parameters;
  const CUresult result = parameters.read(in, request.type, in.tail, nullptr);
  if (result != CUDA_SUCCESS) return result;
  if (parameters.moved().value != 0) return CUDA_ERROR_INVALID_VALUE;
  if (request.type == CU_GRAPH_NODE_TYPE_MEMCPY) {
    CopyGraph parts;
    find_copy_graph(in.cuda, node, parts);
    const CopyFunctions& functions = parameters.functions();
    if ((parts.before != nullptr) != (functions.before != 0) || (parts.after != nullptr) != (functions.after != 0))
      return refuse_form(in);
  }
  return with_driver_form(
      in, parameters, [&](CUgraphNodeParams& native) { return in.cuda.cuGraphExecNodeSetParams(exec, node, &native); });
}

VGPU_HANDLER(vgpuGraphNodeGetParams) {
  const auto node = in.session.handles.find<CUgraphNode>(request.node);
  if (node == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::byte* room = answer_room(in, request.answer);
  if (room == nullptr) return CUDA_ERROR_UNKNOWN;
  CUgraphNodeParams parameters;
  CopyFunctions functions;
  CUresult result = read_node(in, node, parameters, functions);
  if (result != CUDA_SUCCESS) return result;
  if (static_cast<u32>(parameters.type) != request.type) return CUDA_ERROR_INVALID_VALUE;
  std::vector<std::byte> bytes;
  result = write_parameters(in, request.node, parameters, functions, bytes);
  return result == CUDA_SUCCESS ? write_answer(in, bytes, room, reply.answer_bytes) : result;
}

VGPU_HANDLER(cuGraphKernelNodeSetAttribute) {
  const auto node = in.session.handles.find<CUgraphNode>(request.node);
  if (node == nullptr) return CUDA_ERROR_INVALID_VALUE;
  LaunchAttributes attributes;
  const CUresult result = attributes.read(in, 1, "cuGraphKernelNodeSetAttribute");
  if (result != CUDA_SUCCESS) return result;
  return in.cuda.cuGraphKernelNodeSetAttribute(node, attributes.data()->id, &attributes.data()->value);
}

VGPU_HANDLER(cuGraphKernelNodeGetAttribute) {
  const auto node = in.session.handles.find<CUgraphNode>(request.node);
  if (node == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (!is_carried_attribute(request.id)) return in.refuse("cuGraphKernelNodeGetAttribute");
  CUlaunchAttributeValue value{};
  const CUresult result =
      in.cuda.cuGraphKernelNodeGetAttribute(node, static_cast<CUlaunchAttributeID>(request.id), &value);
  static_assert(sizeof value == sizeof reply.value);
  if (result == CUDA_SUCCESS) std::memcpy(reply.value.data(), &value, sizeof value);
  return result;
}

VGPU_HANDLER(cuGraphKernelNodeCopyAttributes) {
  const auto destination = in.session.handles.find<CUgraphNode>(request.destination);
  const auto source = in.session.handles.find<CUgraphNode>(request.source);
  if (destination == nullptr || source == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return in.cuda.cuGraphKernelNodeCopyAttributes(destination, source);
}

VGPU_HANDLER(cuGraphNodeSetEnabled) {
  const auto node = in.session.handles.find<CUgraphNode>(request.node);
  const auto exec = in.session.handles.find<CUgraphExec>(request.exec);
  if (node == nullptr || exec == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return in.cuda.cuGraphNodeSetEnabled(exec, node, request.enabled);
}

VGPU_HANDLER(cuGraphNodeGetEnabled) {
  const auto node = in.session.handles.find<CUgraphNode>(request.node);
  const auto exec = in.session.handles.find<CUgraphExec>(request.exec);
  if (node == nullptr || exec == nullptr) return CUDA_ERROR_INVALID_VALUE;
  unsigned enabled = 0;
  const CUresult result = in.cuda.cuGraphNodeGetEnabled(exec, node, &enabled);
  reply.enabled = enabled;
  return result;
}

}  // namespace vgpu::executor
