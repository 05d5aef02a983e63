#pragma once
#include "softgpu/graph.hpp"
#include "softgpu/guard.hpp"

namespace vgpu::softgpu {

/// For calls on graphs: function(Driver&) under graphs_mutex(). No context is needed.
template <class Function>
CUresult with_graphs(Function&& function) noexcept {
  return with_healthy_driver([&](Driver& self) {
    const std::lock_guard lock(graphs_mutex());
    return static_cast<CUresult>(function(self));
  });
}

template <class Function>
CUresult with_graph(CUgraph handle, Function&& function) noexcept {
  return with_graphs([&](Driver& self) {
    const auto graph = self.graphs.find(handle);
    if (graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return static_cast<CUresult>(function(*graph));
  });
}

template <class Function>
CUresult with_node(CUgraphNode handle, Function&& function) noexcept {
  return with_graphs([&](Driver& self) {
    const auto node = self.graph_nodes.find(handle);
    if (node == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return static_cast<CUresult>(function(*node));
  });
}

/// Edges as a program gives them: nodes of one graph, each once; `data` may be null.
CUresult read_edges(const Graph& graph, const CUgraphNode* nodes, const CUgraphEdgeData* data, std::size_t count,
                    std::vector<GraphEdge>& edges);
/// CUDA_ERROR_INVALID_VALUE, or CUDA_ERROR_NOT_SUPPORTED with a log line, for edge data that can't be.
CUresult check_edge(const GraphNode& from, const CUgraphEdgeData& data);

}  // namespace vgpu::softgpu
