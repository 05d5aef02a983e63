#pragma once
#include <cuda.h>

#include <cstddef>

/// What the calls on graph nodes have in common, whatever the kind of node: parameters as cuGraphAddNode takes them.
/// Any thread; a current context is needed only where parameters name none.
namespace vgpu::shim {

/// `data`: of each edge, or null. Fills in what the call gives back: an allocation's address, a conditional node's
/// bodies.
CUresult add_node(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, const CUgraphEdgeData* data,
                  std::size_t count, CUgraphNodeParams& parameters);
/// Pointers in `parameters` are valid as long as the node. CUDA_ERROR_INVALID_VALUE if the node is of another kind.
CUresult get_node(CUgraphNode node, CUgraphNodeType type, CUgraphNodeParams& parameters);
CUresult set_node(CUgraphNode node, CUgraphNodeParams& parameters);
CUresult set_exec_node(CUgraphExec exec, CUgraphNode node, CUgraphNodeParams& parameters);
/// The result for missing parameters.
CUresult no_parameters() noexcept;

}  // namespace vgpu::shim
