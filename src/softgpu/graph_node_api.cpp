#include <algorithm>
#include <cstring>

#include "softgpu/graph_exec.hpp"
#include "softgpu/graph_guard.hpp"
#include "softgpu/graph_node_calls.hpp"

using namespace vgpu::softgpu;

namespace vgpu::softgpu {

CUresult add_node(CUgraphNode* handle, CUgraph graph_handle, const CUgraphNode* nodes, const CUgraphEdgeData* data,
                  std::size_t count, CUgraphNodeParams& parameters) {
  return with_graph(graph_handle, [&](Graph& graph) {
    if (handle == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::vector<GraphEdge> dependencies;
    if (const CUresult error = read_edges(graph, nodes, data, count, dependencies); error != CUDA_SUCCESS) return error;
    SharedWork work;
    if (const CUresult error = make_work(parameters, graph, work); error != CUDA_SUCCESS) return error;
    *handle = graph.add(std::move(work), dependencies).handle;
    return CUDA_SUCCESS;
  });
}

CUresult get_node(CUgraphNode handle, CUgraphNodeType type, CUgraphNodeParams& parameters) {
  return with_node(handle, [&](GraphNode& node) {
    if (type_of(*node.work) != type) return CUDA_ERROR_INVALID_VALUE;
    read_work(*node.work, parameters);
    return CUDA_SUCCESS;
  });
}

namespace {

/// Kinds whose parameters are fixed when the node is made.
bool fixed(CUgraphNodeType type) noexcept {
  return type == CU_GRAPH_NODE_TYPE_MEM_ALLOC || type == CU_GRAPH_NODE_TYPE_MEM_FREE ||
         type == CU_GRAPH_NODE_TYPE_CONDITIONAL || type == CU_GRAPH_NODE_TYPE_EMPTY;
}

/// Attributes belong to the node: new parameters keep them.
CUresult keep_attributes(const NodeWork& old_work, SharedWork& work) {
  const auto* before = std::get_if<KernelNode>(&old_work);
  if (before == nullptr) return CUDA_SUCCESS;
  for (const CUlaunchAttribute& it : before->attributes) {
    if (const CUresult error = with_attribute(std::get<KernelNode>(*work), it.id, it.value, work);
        error != CUDA_SUCCESS) {
      return error;
    }
  }
  return CUDA_SUCCESS;
}

}  // namespace

CUresult set_node(CUgraphNode handle, CUgraphNodeParams& parameters) {
  return with_node(handle, [&](GraphNode& node) {
    const CUgraphNodeType type = type_of(*node.work);
    if (type != parameters.type || fixed(type) || type == CU_GRAPH_NODE_TYPE_GRAPH) return CUDA_ERROR_INVALID_VALUE;
    SharedWork work;
    if (const CUresult error = make_work(parameters, node.graph, work); error != CUDA_SUCCESS) return error;
    if (const CUresult error = keep_attributes(*node.work, work); error != CUDA_SUCCESS) return error;
    node.work = std::move(work);
    return CUDA_SUCCESS;
  });
}

CUresult set_exec_node(CUgraphExec exec_handle, CUgraphNode handle, CUgraphNodeParams& parameters) {
  return with_node(handle, [&](GraphNode& node) {
    const auto exec = driver().graph_execs.find(exec_handle);
    if (exec == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const CUgraphNodeType type = type_of(*node.work);
    if (type != parameters.type || fixed(type)) return CUDA_ERROR_INVALID_VALUE;
    if (type == CU_GRAPH_NODE_TYPE_GRAPH) {
      const auto child = driver().graphs.find(parameters.graph.graph);
      return child == nullptr ? CUDA_ERROR_INVALID_VALUE : exec->replace_child(handle, *child);
    }
    const GraphStep* step = exec->find(handle);
    if (step == nullptr) return CUDA_ERROR_INVALID_VALUE;
    SharedWork work;
    if (const CUresult error = make_work(parameters, node.graph, work); error != CUDA_SUCCESS) return error;
    if (const CUresult error = keep_attributes(*step->work, work); error != CUDA_SUCCESS) return error;
    return exec->replace(handle, std::move(work));
  });
}

}  // namespace vgpu::softgpu

#undef cuGraphAddNode
VGPU_CUDA_EXPORT CUresult CUDAAPI cuGraphAddNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies,
                                                 size_t count, CUgraphNodeParams* parameters) {
  if (parameters == nullptr) return with_graphs([](Driver&) { return CUDA_ERROR_INVALID_VALUE; });
  return add_node(node, graph, dependencies, nullptr, count, *parameters);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuGraphAddNode_v2(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies,
                                                    const CUgraphEdgeData* data, size_t count,
                                                    CUgraphNodeParams* parameters) {
  if (parameters == nullptr) return with_graphs([](Driver&) { return CUDA_ERROR_INVALID_VALUE; });
  return add_node(node, graph, dependencies, data, count, *parameters);
}
CUresult CUDAAPI cuGraphNodeSetParams(CUgraphNode node, CUgraphNodeParams* parameters) {
  if (parameters == nullptr) return with_graphs([](Driver&) { return CUDA_ERROR_INVALID_VALUE; });
  return set_node(node, *parameters);
}
CUresult CUDAAPI cuGraphExecNodeSetParams(CUgraphExec exec, CUgraphNode node, CUgraphNodeParams* parameters) {
  if (parameters == nullptr) return with_graphs([](Driver&) { return CUDA_ERROR_INVALID_VALUE; });
  return set_exec_node(exec, node, *parameters);
}

CUresult CUDAAPI cuGraphKernelNodeGetAttribute(CUgraphNode handle, CUkernelNodeAttrID id,
                                               CUkernelNodeAttrValue* value) {
  return with_node(handle, [&](GraphNode& node) {
    const auto* kernel = node.as<KernelNode>();
    if (kernel == nullptr || value == nullptr || id <= CU_LAUNCH_ATTRIBUTE_IGNORE ||
        id > CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *value = {};
    for (const CUlaunchAttribute& it : kernel->attributes) {
      if (it.id == id) *value = it.value;
    }
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuGraphKernelNodeSetAttribute(CUgraphNode handle, CUkernelNodeAttrID id,
                                               const CUkernelNodeAttrValue* value) {
  return with_node(handle, [&](GraphNode& node) {
    const auto* kernel = node.as<KernelNode>();
    if (kernel == nullptr || value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    SharedWork work;
    const CUresult error = with_attribute(*kernel, id, *value, work);
    if (error == CUDA_SUCCESS) node.work = std::move(work);
    return error;
  });
}

CUresult CUDAAPI cuGraphKernelNodeCopyAttributes(CUgraphNode destination, CUgraphNode source) {
  return with_node(destination, [&](GraphNode& node) {
    const auto from = driver().graph_nodes.find(source);
    if (from == nullptr || node.as<KernelNode>() == nullptr || from->as<KernelNode>() == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    SharedWork work = node.work;
    if (const CUresult error = keep_attributes(*from->work, work); error != CUDA_SUCCESS) return error;
    node.work = std::move(work);
    return CUDA_SUCCESS;
  });
}
