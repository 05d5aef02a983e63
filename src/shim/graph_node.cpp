// Graph nodes: parameters cross to the host in one form for all kinds; the host makes the nodes' handles.
#include "shim/graph_node.hpp"

#include <algorithm>
#include <cstring>

#include "shim/node_parameters.hpp"
#include "shim/session.hpp"

namespace vgpu::shim {
namespace {

using protocol::GraphExecHandle;
using protocol::GraphHandle;
using protocol::GraphNodeHandle;
using protocol::NodeDependency;

GraphNodeHandle node_handle(CUgraphNode node) noexcept { return {reinterpret_cast<u64>(node)}; }
GraphExecHandle exec_handle(CUgraphExec exec) noexcept { return {reinterpret_cast<u64>(exec)}; }

/// The current context's index, or 0: graphs need none, but parameters may mean it.
u32 context_index() noexcept {
  CUresult result = CUDA_SUCCESS;
  const Context* context = current_context(result);
  return context ? context->index() : 0;
}

/// Kinds into whose parameters the driver writes.
bool gives_back(CUgraphNodeType type) noexcept {
  return type == CU_GRAPH_NODE_TYPE_MEM_ALLOC || type == CU_GRAPH_NODE_TYPE_CONDITIONAL;
}

/// An allocation of a graph is memory of the GPU wherever the program uses it.
void remember_allocation(const CUDA_MEM_ALLOC_NODE_PARAMS_v2& made) {
  CUresult result = CUDA_SUCCESS;
  const Context* context = current_context(result);
  Allocation allocation;
  allocation.base = allocation.device_base = made.dptr;
  allocation.bytes = made.bytesize;
  allocation.context = context ? context->handle : 0;
  allocation.device = made.poolProps.location.id;
  state().allocations.add(allocation);
}

/// Dependencies beyond those that one record holds.
CUresult add_rest(CUgraph graph, CUgraphNode node, const CUgraphNode* dependencies, const CUgraphEdgeData* data,
                  std::size_t count) {
  const std::vector<CUgraphNode> to(count, node);
  return cuGraphAddDependencies_v2(graph, dependencies, to.data(), data, count);
}

CUresult add(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, const CUgraphEdgeData* data,
             std::size_t count, CUgraphNodeParams& parameters) {
  if (!node || (count != 0 && !dependencies)) return CUDA_ERROR_INVALID_VALUE;
  State& s = state();
  const auto first = static_cast<u32>(std::min<std::size_t>(count, protocol::kMaxNodeDependencies));
  std::vector<std::byte> tail(first * sizeof(NodeDependency));
  for (u32 i = 0; i < first; ++i) {
    NodeDependency it{node_handle(dependencies[i]), {}};
    if (data) std::memcpy(&it.edge, &data[i], sizeof it.edge);
    std::memcpy(tail.data() + i * sizeof it, &it, sizeof it);
  }
  NewHostFunctions functions;
  CUresult result = write_node(parameters, tail, functions);
  if (result != CUDA_SUCCESS) return result;

  StagingChunk chunk(s.staging, gives_back(parameters.type) ? s.staging.take() : Staging::kNone);
  if (gives_back(parameters.type) && !chunk.taken()) return s.channel->health();
  call::cuGraphAddNode::Reply reply{};
  result = ask<call::cuGraphAddNode>(context_index(),
                                     {GraphHandle{reinterpret_cast<u64>(graph)}, static_cast<u32>(parameters.type),
                                      first, chunk.taken() ? chunk.offset() : protocol::kInline},
                                     &reply, tail);
  if (result != CUDA_SUCCESS) return result;
  functions.keep();
  const auto made = reinterpret_cast<CUgraphNode>(reply.node.value);
  if (chunk.taken()) {
    if (reply.answer_bytes > Staging::kChunkBytes) return CUDA_ERROR_UNKNOWN;
    result =
        s.graph_nodes.read(reply.node.value, parameters.type, bytes_of(chunk.memory(), reply.answer_bytes), parameters);
    if (result != CUDA_SUCCESS) return result;
    if (parameters.type == CU_GRAPH_NODE_TYPE_MEM_ALLOC) remember_allocation(parameters.alloc);
  }
  if (count > first) {
    result = add_rest(graph, made, dependencies + first, data ? data + first : nullptr, count - first);
    if (result != CUDA_SUCCESS) {
      cuGraphDestroyNode(made);
      return result;
    }
  }
  *node = made;
  return CUDA_SUCCESS;
}

}  // namespace

CUresult no_parameters() noexcept {
  return guarded([] { return CUDA_ERROR_INVALID_VALUE; });
}

CUresult add_node(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, const CUgraphEdgeData* data,
                  std::size_t count, CUgraphNodeParams& parameters) {
  return guarded([&] { return add(node, graph, dependencies, data, count, parameters); });
}

CUresult get_node(CUgraphNode node, CUgraphNodeType type, CUgraphNodeParams& parameters) {
  return guarded([&]() -> CUresult {
    State& s = state();
    StagingChunk chunk(s.staging, s.staging.take());
    if (!chunk.taken()) return s.channel->health();
    call::vgpuGraphNodeGetParams::Reply reply{};
    const CUresult result = ask<call::vgpuGraphNodeGetParams>(
        context_index(), {node_handle(node), chunk.offset(), static_cast<u32>(type), 0}, &reply);
    if (result != CUDA_SUCCESS) return result;
    if (reply.answer_bytes > Staging::kChunkBytes) return CUDA_ERROR_UNKNOWN;
    return s.graph_nodes.read(node_handle(node).value, type, bytes_of(chunk.memory(), reply.answer_bytes), parameters);
  });
}

CUresult set_node(CUgraphNode node, CUgraphNodeParams& parameters) {
  return guarded([&]() -> CUresult {
    std::vector<std::byte> tail;
    NewHostFunctions functions;
    CUresult result = write_node(parameters, tail, functions);
    if (result != CUDA_SUCCESS) return result;
    result = ask<call::cuGraphNodeSetParams>(context_index(), {node_handle(node), static_cast<u32>(parameters.type), 0},
                                             nullptr, tail);
    if (result == CUDA_SUCCESS) functions.keep();
    return result;
  });
}

CUresult set_exec_node(CUgraphExec exec, CUgraphNode node, CUgraphNodeParams& parameters) {
  return guarded([&]() -> CUresult {
    std::vector<std::byte> tail;
    NewHostFunctions functions;
    CUresult result = write_node(parameters, tail, functions);
    if (result != CUDA_SUCCESS) return result;
    result = ask<call::cuGraphExecNodeSetParams>(
        context_index(), {exec_handle(exec), node_handle(node), static_cast<u32>(parameters.type), 0}, nullptr, tail);
    if (result == CUDA_SUCCESS) functions.keep();
    return result;
  });
}

}  // namespace vgpu::shim

using namespace vgpu::shim;

#undef cuGraphAddNode
extern "C" CUresult cuGraphAddNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count,
                                   CUgraphNodeParams* parameters) {
  return parameters ? add_node(node, graph, dependencies, nullptr, count, *parameters) : no_parameters();
}

extern "C" CUresult cuGraphAddNode_v2(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies,
                                      const CUgraphEdgeData* data, size_t count, CUgraphNodeParams* parameters) {
  return parameters ? add_node(node, graph, dependencies, data, count, *parameters) : no_parameters();
}

CUresult cuGraphNodeSetParams(CUgraphNode node, CUgraphNodeParams* parameters) {
  return parameters ? set_node(node, *parameters) : no_parameters();
}

CUresult cuGraphExecNodeSetParams(CUgraphExec exec, CUgraphNode node, CUgraphNodeParams* parameters) {
  return parameters ? set_exec_node(exec, node, *parameters) : no_parameters();
}

CUresult cuGraphKernelNodeSetAttribute(CUgraphNode node, CUkernelNodeAttrID id, const CUkernelNodeAttrValue* value) {
  return guarded([&]() -> CUresult {
    if (!value) return CUDA_ERROR_INVALID_VALUE;
    vgpu::protocol::LaunchAttribute attribute{static_cast<u32>(id), 0, {}};
    static_assert(sizeof attribute.value == sizeof *value);
    std::memcpy(attribute.value.data(), value, sizeof *value);
    return ask<call::cuGraphKernelNodeSetAttribute>(context_index(), {node_handle(node)}, nullptr,
                                                    bytes_of(&attribute, sizeof attribute));
  });
}

CUresult cuGraphKernelNodeGetAttribute(CUgraphNode node, CUkernelNodeAttrID id, CUkernelNodeAttrValue* value) {
  return guarded([&]() -> CUresult {
    if (!value) return CUDA_ERROR_INVALID_VALUE;
    call::cuGraphKernelNodeGetAttribute::Reply reply{};
    const CUresult result =
        ask<call::cuGraphKernelNodeGetAttribute>(context_index(), {node_handle(node), static_cast<u32>(id), 0}, &reply);
    static_assert(sizeof reply.value == sizeof *value);
    if (result == CUDA_SUCCESS) std::memcpy(value, reply.value.data(), sizeof *value);
    return result;
  });
}

CUresult cuGraphKernelNodeCopyAttributes(CUgraphNode destination, CUgraphNode source) {
  return guarded([&] {
    return ask<call::cuGraphKernelNodeCopyAttributes>(context_index(), {node_handle(destination), node_handle(source)});
  });
}

CUresult cuGraphNodeSetEnabled(CUgraphExec exec, CUgraphNode node, unsigned int enabled) {
  return guarded([&] {
    return ask<call::cuGraphNodeSetEnabled>(context_index(), {exec_handle(exec), node_handle(node), enabled, 0});
  });
}

CUresult cuGraphNodeGetEnabled(CUgraphExec exec, CUgraphNode node, unsigned int* enabled) {
  return guarded([&]() -> CUresult {
    if (!enabled) return CUDA_ERROR_INVALID_VALUE;
    call::cuGraphNodeGetEnabled::Reply reply{};
    const CUresult result =
        ask<call::cuGraphNodeGetEnabled>(context_index(), {exec_handle(exec), node_handle(node)}, &reply);
    if (result == CUDA_SUCCESS) *enabled = reply.enabled;
    return result;
  });
}
