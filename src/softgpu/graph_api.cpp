#include <algorithm>

#include "softgpu/conditional.hpp"
#include "softgpu/graph_guard.hpp"

/// Graphs and their edges.
using namespace vgpu::softgpu;

namespace vgpu::softgpu {

CUresult check_edge(const GraphNode& from, const CUgraphEdgeData& data) {
  if (data.to_port != 0 || std::any_of(std::begin(data.reserved), std::end(data.reserved), [](auto b) { return b; })) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (data.type > CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC) return CUDA_ERROR_INVALID_VALUE;
  const bool programmatic = data.type == CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC;
  if (!programmatic) return data.from_port == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  // Full completion of the first kernel, which is what happens, satisfies every programmatic edge.
  if (from.as<KernelNode>() == nullptr || data.from_port == 0 ||
      data.from_port > CU_GRAPH_KERNEL_NODE_PORT_LAUNCH_ORDER) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

CUresult read_edges(const Graph& graph, const CUgraphNode* nodes, const CUgraphEdgeData* data, std::size_t count,
                    std::vector<GraphEdge>& edges) {
  if (count != 0 && nodes == nullptr) return CUDA_ERROR_INVALID_VALUE;
  for (std::size_t i = 0; i < count; ++i) {
    const auto node = driver().graph_nodes.find(nodes[i]);
    if (node == nullptr || &node->graph != &graph) return CUDA_ERROR_INVALID_VALUE;
    const CUgraphEdgeData edge = data != nullptr ? data[i] : CUgraphEdgeData{};
    if (const CUresult error = check_edge(*node, edge); error != CUDA_SUCCESS) return error;
    if (std::any_of(edges.begin(), edges.end(), [&](const GraphEdge& it) { return it.node == node.get(); })) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    edges.push_back({node.get(), edge});
  }
  return CUDA_SUCCESS;
}

}  // namespace vgpu::softgpu

namespace {

bool plain(const CUgraphEdgeData& data) noexcept { return data.type == 0 && data.from_port == 0 && data.to_port == 0; }

/// The arrays of a query: with no array, its size; else as many as fit, the rest null, and how many there are.
CUresult give_nodes(const std::vector<GraphNode*>& all, CUgraphNode* nodes, std::size_t* count) {
  if (count == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (nodes != nullptr) {
    for (std::size_t i = 0; i < *count; ++i) nodes[i] = i < all.size() ? all[i]->handle : nullptr;
  }
  if (nodes == nullptr || *count > all.size()) *count = all.size();
  return CUDA_SUCCESS;
}

CUresult give_edges(const std::vector<GraphEdge>& all, CUgraphNode* nodes, CUgraphEdgeData* data, std::size_t* count) {
  if (count == nullptr || (data != nullptr && nodes == nullptr)) return CUDA_ERROR_INVALID_VALUE;
  if (nodes != nullptr && data == nullptr &&
      std::any_of(all.begin(), all.end(), [](const GraphEdge& it) { return !plain(it.data); })) {
    return CUDA_ERROR_LOSSY_QUERY;
  }
  std::vector<GraphNode*> found;
  for (const GraphEdge& edge : all) found.push_back(edge.node);
  for (std::size_t i = 0; data != nullptr && i < *count; ++i)
    data[i] = i < all.size() ? all[i].data : CUgraphEdgeData{};
  return give_nodes(found, nodes, count);
}

CUresult get_edges(CUgraph handle, CUgraphNode* from, CUgraphNode* to, CUgraphEdgeData* data, std::size_t* count) {
  return with_graph(handle, [&](Graph& graph) {
    if (count == nullptr || (from == nullptr) != (to == nullptr) || (data != nullptr && from == nullptr)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    std::vector<GraphEdge> tails;
    std::vector<GraphNode*> heads;
    for (const auto& node : graph.nodes()) {
      for (const GraphEdge& edge : node->dependencies) {
        tails.push_back(edge);
        heads.push_back(node.get());
      }
    }
    std::size_t same = *count;
    if (const CUresult error = give_edges(tails, from, data, &same); error != CUDA_SUCCESS) return error;
    return give_nodes(heads, to, count);
  });
}

CUresult add_dependencies(CUgraph handle, const CUgraphNode* from, const CUgraphNode* to, const CUgraphEdgeData* data,
                          std::size_t count) {
  return with_graph(handle, [&](Graph& graph) {
    if (count == 0) return CUDA_SUCCESS;
    if (from == nullptr || to == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::vector<std::pair<GraphNode*, GraphNode*>> edges;
    for (std::size_t i = 0; i < count; ++i) {
      const auto tail = driver().graph_nodes.find(from[i]);
      const auto head = driver().graph_nodes.find(to[i]);
      if (tail == nullptr || head == nullptr || &tail->graph != &graph || &head->graph != &graph || tail == head) {
        return CUDA_ERROR_INVALID_VALUE;
      }
      const CUgraphEdgeData edge = data != nullptr ? data[i] : CUgraphEdgeData{};
      if (const CUresult error = check_edge(*tail, edge); error != CUDA_SUCCESS) return error;
      const std::pair<GraphNode*, GraphNode*> pair{tail.get(), head.get()};
      if (Graph::connected(*tail, *head) || std::find(edges.begin(), edges.end(), pair) != edges.end()) {
        return CUDA_ERROR_INVALID_VALUE;
      }
      edges.push_back(pair);
    }
    for (std::size_t i = 0; i < count; ++i) {
      Graph::connect(*edges[i].first, *edges[i].second, data != nullptr ? data[i] : CUgraphEdgeData{});
    }
    return CUDA_SUCCESS;
  });
}

CUresult remove_dependencies(CUgraph handle, const CUgraphNode* from, const CUgraphNode* to,
                             const CUgraphEdgeData* data, std::size_t count) {
  return with_graph(handle, [&](Graph& graph) {
    if (count == 0) return CUDA_SUCCESS;
    if (from == nullptr || to == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (graph.has<FreeNode>() || graph.has<AllocationNode>()) return CUDA_ERROR_NOT_SUPPORTED;
    for (std::size_t i = 0; i < count; ++i) {
      const auto tail = driver().graph_nodes.find(from[i]);
      const auto head = driver().graph_nodes.find(to[i]);
      if (tail == nullptr || head == nullptr || &tail->graph != &graph || !Graph::connected(*tail, *head)) {
        return CUDA_ERROR_INVALID_VALUE;
      }
    }
    for (std::size_t i = 0; i < count; ++i) {
      const CUgraphEdgeData edge = data != nullptr ? data[i] : CUgraphEdgeData{};
      if (!Graph::disconnect(*driver().graph_nodes.find(from[i]), *driver().graph_nodes.find(to[i]), &edge)) {
        return CUDA_ERROR_INVALID_VALUE;
      }
    }
    return CUDA_SUCCESS;
  });
}

}  // namespace

CUresult CUDAAPI cuGraphCreate(CUgraph* graph, unsigned int flags) {
  return with_graphs([&](Driver&) {
    if (graph == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    *graph = Graph::create()->handle;
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuGraphDestroy(CUgraph handle) {
  return with_graph(handle, [](Graph& graph) {
    if (graph.owned || graph.capturing) return CUDA_ERROR_INVALID_VALUE;
    graph.forget();
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuGraphClone(CUgraph* clone, CUgraph original) {
  return with_graph(original, [&](Graph& graph) {
    if (clone == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::shared_ptr<Graph> copy;
    const CUresult error = graph.clone(copy);
    if (error == CUDA_SUCCESS) *clone = copy->handle;
    return error;
  });
}

CUresult CUDAAPI cuGraphNodeFindInClone(CUgraphNode* found, CUgraphNode original, CUgraph clone) {
  return with_graph(clone, [&](Graph& graph) {
    if (found == nullptr) return CUDA_ERROR_INVALID_VALUE;
    for (const auto& node : graph.nodes()) {
      if (node->original != original) continue;
      *found = node->handle;
      return CUDA_SUCCESS;
    }
    return CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult CUDAAPI cuGraphGetNodes(CUgraph handle, CUgraphNode* nodes, size_t* count) {
  return with_graph(handle, [&](Graph& graph) {
    std::vector<GraphNode*> all;
    for (const auto& node : graph.nodes()) all.push_back(node.get());
    return give_nodes(all, nodes, count);
  });
}

CUresult CUDAAPI cuGraphGetRootNodes(CUgraph handle, CUgraphNode* nodes, size_t* count) {
  return with_graph(handle, [&](Graph& graph) {
    std::vector<GraphNode*> roots;
    for (const auto& node : graph.nodes()) {
      if (node->dependencies.empty()) roots.push_back(node.get());
    }
    return give_nodes(roots, nodes, count);
  });
}

CUresult CUDAAPI cuGraphNodeGetType(CUgraphNode handle, CUgraphNodeType* type) {
  return with_node(handle, [&](GraphNode& node) {
    if (type == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *type = type_of(*node.work);
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuGraphDestroyNode(CUgraphNode handle) {
  return with_node(handle, [&](GraphNode& node) {
    Graph& graph = node.graph;
    if (graph.has<AllocationNode>() || graph.has<FreeNode>()) return CUDA_ERROR_NOT_SUPPORTED;
    if (graph.capturing) return CUDA_ERROR_NOT_PERMITTED;
    graph.remove(node);
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuGraphConditionalHandleCreate(CUgraphConditionalHandle* handle, CUgraph graph_handle,
                                                CUcontext context, unsigned int default_value, unsigned int flags) {
  return with_graph(graph_handle, [&](Graph& graph) {
    if (handle == nullptr || (flags & ~static_cast<unsigned>(CU_GRAPH_COND_ASSIGN_DEFAULT)) != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (context != nullptr && driver().contexts.find(context) == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const ConditionHolder holder = create_condition();
    graph.conditions.push_back({*holder, holder, context, default_value, flags != 0, false});
    *handle = *holder;
    return CUDA_SUCCESS;
  });
}

#undef cuGraphGetEdges
#undef cuGraphNodeGetDependencies
#undef cuGraphNodeGetDependentNodes
#undef cuGraphAddDependencies
#undef cuGraphRemoveDependencies

VGPU_CUDA_EXPORT CUresult CUDAAPI cuGraphGetEdges(CUgraph graph, CUgraphNode* from, CUgraphNode* to, size_t* count) {
  return get_edges(graph, from, to, nullptr, count);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuGraphGetEdges_v2(CUgraph graph, CUgraphNode* from, CUgraphNode* to,
                                                     CUgraphEdgeData* data, size_t* count) {
  return get_edges(graph, from, to, data, count);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuGraphNodeGetDependencies(CUgraphNode handle, CUgraphNode* nodes, size_t* count) {
  return with_node(handle, [&](GraphNode& node) { return give_edges(node.dependencies, nodes, nullptr, count); });
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuGraphNodeGetDependencies_v2(CUgraphNode handle, CUgraphNode* nodes,
                                                                CUgraphEdgeData* data, size_t* count) {
  return with_node(handle, [&](GraphNode& node) { return give_edges(node.dependencies, nodes, data, count); });
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuGraphNodeGetDependentNodes(CUgraphNode handle, CUgraphNode* nodes, size_t* count) {
  return with_node(handle, [&](GraphNode& node) { return give_edges(node.dependents, nodes, nullptr, count); });
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuGraphNodeGetDependentNodes_v2(CUgraphNode handle, CUgraphNode* nodes,
                                                                  CUgraphEdgeData* data, size_t* count) {
  return with_node(handle, [&](GraphNode& node) { return give_edges(node.dependents, nodes, data, count); });
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuGraphAddDependencies(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to,
                                                         size_t count) {
  return add_dependencies(graph, from, to, nullptr, count);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuGraphAddDependencies_v2(CUgraph graph, const CUgraphNode* from,
                                                            const CUgraphNode* to, const CUgraphEdgeData* data,
                                                            size_t count) {
  return add_dependencies(graph, from, to, data, count);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuGraphRemoveDependencies(CUgraph graph, const CUgraphNode* from,
                                                            const CUgraphNode* to, size_t count) {
  return remove_dependencies(graph, from, to, nullptr, count);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuGraphRemoveDependencies_v2(CUgraph graph, const CUgraphNode* from,
                                                               const CUgraphNode* to, const CUgraphEdgeData* data,
                                                               size_t count) {
  return remove_dependencies(graph, from, to, data, count);
}
