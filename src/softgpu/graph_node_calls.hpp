#pragma once
#include <cstddef>

#include "softgpu/driver_api.hpp"

/// What the calls on nodes have in common, whatever the kind of node: parameters as cuGraphAddNode takes them.
namespace vgpu::softgpu {

CUresult add_node(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, const CUgraphEdgeData* data,
                  std::size_t count, CUgraphNodeParams& parameters);
/// CUDA_ERROR_INVALID_VALUE if the node is of another kind.
CUresult get_node(CUgraphNode node, CUgraphNodeType type, CUgraphNodeParams& parameters);
CUresult set_node(CUgraphNode node, CUgraphNodeParams& parameters);
CUresult set_exec_node(CUgraphExec exec, CUgraphNode node, CUgraphNodeParams& parameters);

}  // namespace vgpu::softgpu
