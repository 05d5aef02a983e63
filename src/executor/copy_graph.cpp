#include "executor/copy_graph.hpp"

#include "executor/graph_host_call.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

/// Another address than run_graph_host_call(): it marks the child graph.
void CUDA_CB run_copy_function(void* call) { run_graph_host_call(call); }

CUresult add_function(Invocation& in, CUgraph graph, u64 id, CUgraphNode after, CUgraphNode& node) {
  GraphHostCall* call = nullptr;
  const CUresult result = make_graph_host_call(in.session, graph, id, call);
  if (result != CUDA_SUCCESS) return result;
  CUgraphNodeParams parameters{};
  parameters.type = CU_GRAPH_NODE_TYPE_HOST;
  parameters.host = {&run_copy_function, call};
  return in.cuda.cuGraphAddNode_v2(&node, graph, &after, nullptr, after != nullptr ? 1 : 0, &parameters);
}

CUresult change_function(Invocation& in, CUgraph graph, CUgraphNode node, u64 id) {
  if (node == nullptr) return CUDA_SUCCESS;
  GraphHostCall* call = nullptr;
  const CUresult result = make_graph_host_call(in.session, graph, id, call);
  if (result != CUDA_SUCCESS) return result;
  CUgraphNodeParams parameters{};
  parameters.type = CU_GRAPH_NODE_TYPE_HOST;
  parameters.host = {&run_copy_function, call};
  return in.cuda.cuGraphNodeSetParams(node, &parameters);
}

}  // namespace

CUresult make_copy_graph(Invocation& in, CUgraphNodeParams& copy, const CopyFunctions& functions, CUgraph& graph) {
  CUresult result = in.cuda.cuGraphCreate(&graph, 0);
  if (result != CUDA_SUCCESS) return result;
  CopyGraph parts;
  if (functions.before != 0) result = add_function(in, graph, functions.before, nullptr, parts.before);
  if (result == CUDA_SUCCESS)
    result =
        in.cuda.cuGraphAddNode_v2(&parts.copy, graph, &parts.before, nullptr, parts.before != nullptr ? 1 : 0, &copy);
  if (result == CUDA_SUCCESS && functions.after != 0)
    result = add_function(in, graph, functions.after, parts.copy, parts.after);
  if (result != CUDA_SUCCESS) in.cuda.cuGraphDestroy(graph);
  return result;
}

bool find_copy_graph(const Driver& cuda, CUgraphNode node, CopyGraph& parts) {
  parts = {};
  CUgraphNodeType type{};
  CUgraph graph = nullptr;
  std::array<CUgraphNode, 4> nodes{};
  std::size_t count = nodes.size();
  if (cuda.cuGraphNodeGetType(node, &type) != CUDA_SUCCESS || type != CU_GRAPH_NODE_TYPE_GRAPH ||
      cuda.cuGraphChildGraphNodeGetGraph(node, &graph) != CUDA_SUCCESS ||
      cuda.cuGraphGetNodes(graph, nodes.data(), &count) != CUDA_SUCCESS || count < 2 || count > 3)
    return false;
  for (std::size_t i = 0; i < count; ++i) {
    CUDA_HOST_NODE_PARAMS host{};
    if (cuda.cuGraphNodeGetType(nodes[i], &type) != CUDA_SUCCESS) return false;
    if (type == CU_GRAPH_NODE_TYPE_MEMCPY && parts.copy == nullptr) {
      parts.copy = nodes[i];
      continue;
    }
    if (type != CU_GRAPH_NODE_TYPE_HOST || cuda.cuGraphHostNodeGetParams(nodes[i], &host) != CUDA_SUCCESS ||
        host.fn != &run_copy_function)
      return false;
    std::size_t dependencies = 0;
    if (cuda.cuGraphNodeGetDependencies_v2(nodes[i], nullptr, nullptr, &dependencies) != CUDA_SUCCESS) return false;
    (dependencies == 0 ? parts.before : parts.after) = nodes[i];
  }
  return parts.copy != nullptr;
}

CopyFunctions functions_of(const Driver& cuda, const CopyGraph& parts) {
  const auto id = [&](CUgraphNode node) -> u64 {
    CUDA_HOST_NODE_PARAMS host{};
    if (node == nullptr || cuda.cuGraphHostNodeGetParams(node, &host) != CUDA_SUCCESS) return 0;
    return static_cast<const GraphHostCall*>(host.userData)->id;
  };
  return {id(parts.before), id(parts.after)};
}

CUresult change_copy_graph(Invocation& in, CUgraphNode node, const CopyGraph& parts, CUgraphNodeParams& copy,
                           const CopyFunctions& functions) {
  if ((parts.before != nullptr) != (functions.before != 0) || (parts.after != nullptr) != (functions.after != 0))
    return CUDA_ERROR_NOT_SUPPORTED;
  CUgraph graph = nullptr;
  CUresult result = in.cuda.cuGraphChildGraphNodeGetGraph(node, &graph);
  if (result == CUDA_SUCCESS) result = in.cuda.cuGraphNodeSetParams(parts.copy, &copy);
  if (result == CUDA_SUCCESS) result = change_function(in, graph, parts.before, functions.before);
  if (result == CUDA_SUCCESS) result = change_function(in, graph, parts.after, functions.after);
  return result;
}

}  // namespace vgpu::executor
