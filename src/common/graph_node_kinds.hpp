#pragma once
#include <cstddef>

// The driver API's calls for single kinds of graph nodes: each turns its own parameters into those that cuGraphAddNode
// takes, or back, and is the same in each library that has the API. Included by one source file of such a library,
// after cuda.h and, in a namespace that it uses:
//
//   add_node(node*, graph, dependencies, edge data or null, count, CUgraphNodeParams&)   fills in what the call gives
//   back get_node(node, type, CUgraphNodeParams&)          CUDA_ERROR_INVALID_VALUE if the node is of another kind
//   set_node(node, CUgraphNodeParams&), set_exec_node(exec, node, CUgraphNodeParams&)
//   no_parameters()                                   the result for a null pointer

namespace {

CUgraphNodeParams of_type(CUgraphNodeType type) {
  CUgraphNodeParams parameters{};
  parameters.type = type;
  return parameters;
}

CUgraphNodeParams kernel(const CUDA_KERNEL_NODE_PARAMS_v1& from) {
  CUgraphNodeParams to = of_type(CU_GRAPH_NODE_TYPE_KERNEL);
  to.kernel = {from.func,      from.gridDimX,       from.gridDimY,     from.gridDimZ, from.blockDimX, from.blockDimY,
               from.blockDimZ, from.sharedMemBytes, from.kernelParams, from.extra,    nullptr,        nullptr};
  return to;
}
CUgraphNodeParams kernel(const CUDA_KERNEL_NODE_PARAMS_v2& from) {
  CUgraphNodeParams to = of_type(CU_GRAPH_NODE_TYPE_KERNEL);
  to.kernel = {from.func,      from.gridDimX,       from.gridDimY,     from.gridDimZ, from.blockDimX, from.blockDimY,
               from.blockDimZ, from.sharedMemBytes, from.kernelParams, from.extra,    from.kern,      from.ctx};
  return to;
}
CUgraphNodeParams copy(const CUDA_MEMCPY3D& from, CUcontext context) {
  CUgraphNodeParams to = of_type(CU_GRAPH_NODE_TYPE_MEMCPY);
  to.memcpy.copyParams = from;
  to.memcpy.copyCtx = context;
  return to;
}
CUgraphNodeParams fill(const CUDA_MEMSET_NODE_PARAMS& from, CUcontext context) {
  CUgraphNodeParams to = of_type(CU_GRAPH_NODE_TYPE_MEMSET);
  to.memset = {from.dst, from.pitch, from.value, from.elementSize, from.width, from.height, context};
  return to;
}
CUgraphNodeParams host(const CUDA_HOST_NODE_PARAMS& from) {
  CUgraphNodeParams to = of_type(CU_GRAPH_NODE_TYPE_HOST);
  to.host = {from.fn, from.userData};
  return to;
}
CUgraphNodeParams child(CUgraph graph) {
  CUgraphNodeParams to = of_type(CU_GRAPH_NODE_TYPE_GRAPH);
  to.graph.graph = graph;
  return to;
}
CUgraphNodeParams record(CUevent event) {
  CUgraphNodeParams to = of_type(CU_GRAPH_NODE_TYPE_EVENT_RECORD);
  to.eventRecord.event = event;
  return to;
}
CUgraphNodeParams wait(CUevent event) {
  CUgraphNodeParams to = of_type(CU_GRAPH_NODE_TYPE_WAIT_EVENT);
  to.eventWait.event = event;
  return to;
}
CUgraphNodeParams operations(const CUDA_BATCH_MEM_OP_NODE_PARAMS& from) {
  CUgraphNodeParams to = of_type(CU_GRAPH_NODE_TYPE_BATCH_MEM_OP);
  to.memOp = {from.ctx, from.count, from.paramArray, from.flags};
  return to;
}

/// Adds a node of one kind, when its parameters are there.
template <class Parameters, class Convert>
CUresult add(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, std::size_t count,
             const Parameters* from, const Convert& convert) {
  if (from == nullptr) return no_parameters();
  CUgraphNodeParams parameters = convert(*from);
  return add_node(node, graph, dependencies, nullptr, count, parameters);
}
template <class Parameters, class Convert>
CUresult set(CUgraphNode node, const Parameters* from, const Convert& convert) {
  if (from == nullptr) return no_parameters();
  CUgraphNodeParams parameters = convert(*from);
  return set_node(node, parameters);
}
template <class Parameters, class Convert>
CUresult set(CUgraphExec exec, CUgraphNode node, const Parameters* from, const Convert& convert) {
  if (from == nullptr) return no_parameters();
  CUgraphNodeParams parameters = convert(*from);
  return set_exec_node(exec, node, parameters);
}
/// Gives what `give` picks of a node's parameters.
template <class Result, class Give>
CUresult get(CUgraphNode node, CUgraphNodeType type, Result* to, const Give& give) {
  if (to == nullptr) return no_parameters();
  CUgraphNodeParams parameters{};
  const CUresult error = get_node(node, type, parameters);
  if (error == CUDA_SUCCESS) *to = give(parameters);
  return error;
}

const auto kernel_of = [](const auto& from) { return kernel(from); };
const auto host_of = [](const CUDA_HOST_NODE_PARAMS& from) { return host(from); };
const auto operations_of = [](const CUDA_BATCH_MEM_OP_NODE_PARAMS& from) { return operations(from); };

}  // namespace

#undef cuGraphAddKernelNode
#undef cuGraphKernelNodeGetParams
#undef cuGraphKernelNodeSetParams
#undef cuGraphExecKernelNodeSetParams

extern "C" CUresult CUDAAPI cuGraphAddKernelNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies,
                                                 size_t count, const CUDA_KERNEL_NODE_PARAMS_v1* parameters) {
  return add(node, graph, dependencies, count, parameters, kernel_of);
}
extern "C" CUresult CUDAAPI cuGraphKernelNodeGetParams(CUgraphNode node, CUDA_KERNEL_NODE_PARAMS_v1* parameters) {
  return get(node, CU_GRAPH_NODE_TYPE_KERNEL, parameters, [](const CUgraphNodeParams& all) {
    const auto& p = all.kernel;
    return CUDA_KERNEL_NODE_PARAMS_v1{p.func,      p.gridDimX,  p.gridDimY,       p.gridDimZ,     p.blockDimX,
                                      p.blockDimY, p.blockDimZ, p.sharedMemBytes, p.kernelParams, p.extra};
  });
}
extern "C" CUresult CUDAAPI cuGraphKernelNodeSetParams(CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS_v1* parameters) {
  return set(node, parameters, kernel_of);
}
extern "C" CUresult CUDAAPI cuGraphExecKernelNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                                           const CUDA_KERNEL_NODE_PARAMS_v1* parameters) {
  return set(exec, node, parameters, kernel_of);
}
extern "C" CUresult CUDAAPI cuGraphAddKernelNode_v2(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies,
                                                    size_t count, const CUDA_KERNEL_NODE_PARAMS_v2* parameters) {
  return add(node, graph, dependencies, count, parameters, kernel_of);
}
extern "C" CUresult CUDAAPI cuGraphKernelNodeGetParams_v2(CUgraphNode node, CUDA_KERNEL_NODE_PARAMS_v2* parameters) {
  return get(node, CU_GRAPH_NODE_TYPE_KERNEL, parameters, [](const CUgraphNodeParams& all) {
    const auto& p = all.kernel;
    return CUDA_KERNEL_NODE_PARAMS_v2{p.func,         p.gridDimX,  p.gridDimY,  p.gridDimZ,
                                      p.blockDimX,    p.blockDimY, p.blockDimZ, p.sharedMemBytes,
                                      p.kernelParams, p.extra,     p.kern,      p.ctx};
  });
}
extern "C" CUresult CUDAAPI cuGraphKernelNodeSetParams_v2(CUgraphNode node,
                                                          const CUDA_KERNEL_NODE_PARAMS_v2* parameters) {
  return set(node, parameters, kernel_of);
}
extern "C" CUresult CUDAAPI cuGraphExecKernelNodeSetParams_v2(CUgraphExec exec, CUgraphNode node,
                                                              const CUDA_KERNEL_NODE_PARAMS_v2* parameters) {
  return set(exec, node, parameters, kernel_of);
}

CUresult CUDAAPI cuGraphAddMemcpyNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count,
                                      const CUDA_MEMCPY3D* parameters, CUcontext context) {
  return add(node, graph, dependencies, count, parameters,
             [&](const CUDA_MEMCPY3D& from) { return copy(from, context); });
}
CUresult CUDAAPI cuGraphMemcpyNodeGetParams(CUgraphNode node, CUDA_MEMCPY3D* parameters) {
  return get(node, CU_GRAPH_NODE_TYPE_MEMCPY, parameters,
             [](const CUgraphNodeParams& p) { return p.memcpy.copyParams; });
}
CUresult CUDAAPI cuGraphMemcpyNodeSetParams(CUgraphNode node, const CUDA_MEMCPY3D* parameters) {
  return set(node, parameters, [](const CUDA_MEMCPY3D& from) { return copy(from, nullptr); });
}
CUresult CUDAAPI cuGraphExecMemcpyNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_MEMCPY3D* parameters,
                                                CUcontext context) {
  return set(exec, node, parameters, [&](const CUDA_MEMCPY3D& from) { return copy(from, context); });
}

CUresult CUDAAPI cuGraphAddMemsetNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count,
                                      const CUDA_MEMSET_NODE_PARAMS* parameters, CUcontext context) {
  return add(node, graph, dependencies, count, parameters,
             [&](const CUDA_MEMSET_NODE_PARAMS& from) { return fill(from, context); });
}
CUresult CUDAAPI cuGraphMemsetNodeGetParams(CUgraphNode node, CUDA_MEMSET_NODE_PARAMS* parameters) {
  return get(node, CU_GRAPH_NODE_TYPE_MEMSET, parameters, [](const CUgraphNodeParams& all) {
    const auto& p = all.memset;
    return CUDA_MEMSET_NODE_PARAMS{p.dst, p.pitch, p.value, p.elementSize, p.width, p.height};
  });
}
CUresult CUDAAPI cuGraphMemsetNodeSetParams(CUgraphNode node, const CUDA_MEMSET_NODE_PARAMS* parameters) {
  return set(node, parameters, [](const CUDA_MEMSET_NODE_PARAMS& from) { return fill(from, nullptr); });
}
CUresult CUDAAPI cuGraphExecMemsetNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                                const CUDA_MEMSET_NODE_PARAMS* parameters, CUcontext context) {
  return set(exec, node, parameters, [&](const CUDA_MEMSET_NODE_PARAMS& from) { return fill(from, context); });
}

CUresult CUDAAPI cuGraphAddHostNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count,
                                    const CUDA_HOST_NODE_PARAMS* parameters) {
  return add(node, graph, dependencies, count, parameters, host_of);
}
CUresult CUDAAPI cuGraphHostNodeGetParams(CUgraphNode node, CUDA_HOST_NODE_PARAMS* parameters) {
  return get(node, CU_GRAPH_NODE_TYPE_HOST, parameters, [](const CUgraphNodeParams& p) {
    return CUDA_HOST_NODE_PARAMS{p.host.fn, p.host.userData};
  });
}
CUresult CUDAAPI cuGraphHostNodeSetParams(CUgraphNode node, const CUDA_HOST_NODE_PARAMS* parameters) {
  return set(node, parameters, host_of);
}
CUresult CUDAAPI cuGraphExecHostNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                              const CUDA_HOST_NODE_PARAMS* parameters) {
  return set(exec, node, parameters, host_of);
}

CUresult CUDAAPI cuGraphAddBatchMemOpNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies,
                                          size_t count, const CUDA_BATCH_MEM_OP_NODE_PARAMS* parameters) {
  return add(node, graph, dependencies, count, parameters, operations_of);
}
CUresult CUDAAPI cuGraphBatchMemOpNodeGetParams(CUgraphNode node, CUDA_BATCH_MEM_OP_NODE_PARAMS* parameters) {
  return get(node, CU_GRAPH_NODE_TYPE_BATCH_MEM_OP, parameters, [](const CUgraphNodeParams& p) {
    return CUDA_BATCH_MEM_OP_NODE_PARAMS{p.memOp.ctx, p.memOp.count, p.memOp.paramArray, p.memOp.flags};
  });
}
CUresult CUDAAPI cuGraphBatchMemOpNodeSetParams(CUgraphNode node, const CUDA_BATCH_MEM_OP_NODE_PARAMS* parameters) {
  return set(node, parameters, operations_of);
}
CUresult CUDAAPI cuGraphExecBatchMemOpNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                                    const CUDA_BATCH_MEM_OP_NODE_PARAMS* parameters) {
  return set(exec, node, parameters, operations_of);
}

CUresult CUDAAPI cuGraphAddChildGraphNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies,
                                          size_t count, CUgraph graph_of_child) {
  CUgraphNodeParams parameters = child(graph_of_child);
  return add_node(node, graph, dependencies, nullptr, count, parameters);
}
CUresult CUDAAPI cuGraphChildGraphNodeGetGraph(CUgraphNode node, CUgraph* graph) {
  return get(node, CU_GRAPH_NODE_TYPE_GRAPH, graph, [](const CUgraphNodeParams& p) { return p.graph.graph; });
}
CUresult CUDAAPI cuGraphExecChildGraphNodeSetParams(CUgraphExec exec, CUgraphNode node, CUgraph graph) {
  CUgraphNodeParams parameters = child(graph);
  return set_exec_node(exec, node, parameters);
}
CUresult CUDAAPI cuGraphAddEmptyNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count) {
  CUgraphNodeParams parameters = of_type(CU_GRAPH_NODE_TYPE_EMPTY);
  return add_node(node, graph, dependencies, nullptr, count, parameters);
}

CUresult CUDAAPI cuGraphAddEventRecordNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies,
                                           size_t count, CUevent event) {
  CUgraphNodeParams parameters = record(event);
  return add_node(node, graph, dependencies, nullptr, count, parameters);
}
CUresult CUDAAPI cuGraphEventRecordNodeGetEvent(CUgraphNode node, CUevent* event) {
  return get(node, CU_GRAPH_NODE_TYPE_EVENT_RECORD, event,
             [](const CUgraphNodeParams& p) { return p.eventRecord.event; });
}
CUresult CUDAAPI cuGraphEventRecordNodeSetEvent(CUgraphNode node, CUevent event) {
  CUgraphNodeParams parameters = record(event);
  return set_node(node, parameters);
}
CUresult CUDAAPI cuGraphExecEventRecordNodeSetEvent(CUgraphExec exec, CUgraphNode node, CUevent event) {
  CUgraphNodeParams parameters = record(event);
  return set_exec_node(exec, node, parameters);
}
CUresult CUDAAPI cuGraphAddEventWaitNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies,
                                         size_t count, CUevent event) {
  CUgraphNodeParams parameters = wait(event);
  return add_node(node, graph, dependencies, nullptr, count, parameters);
}
CUresult CUDAAPI cuGraphEventWaitNodeGetEvent(CUgraphNode node, CUevent* event) {
  return get(node, CU_GRAPH_NODE_TYPE_WAIT_EVENT, event, [](const CUgraphNodeParams& p) { return p.eventWait.event; });
}
CUresult CUDAAPI cuGraphEventWaitNodeSetEvent(CUgraphNode node, CUevent event) {
  CUgraphNodeParams parameters = wait(event);
  return set_node(node, parameters);
}
CUresult CUDAAPI cuGraphExecEventWaitNodeSetEvent(CUgraphExec exec, CUgraphNode node, CUevent event) {
  CUgraphNodeParams parameters = wait(event);
  return set_exec_node(exec, node, parameters);
}

CUresult CUDAAPI cuGraphAddMemAllocNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count,
                                        CUDA_MEM_ALLOC_NODE_PARAMS* from) {
  if (from == nullptr) return no_parameters();
  CUgraphNodeParams parameters = of_type(CU_GRAPH_NODE_TYPE_MEM_ALLOC);
  parameters.alloc = {from->poolProps, from->accessDescs, from->accessDescCount, from->bytesize, 0};
  const CUresult error = add_node(node, graph, dependencies, nullptr, count, parameters);
  if (error == CUDA_SUCCESS) from->dptr = parameters.alloc.dptr;
  return error;
}
CUresult CUDAAPI cuGraphMemAllocNodeGetParams(CUgraphNode node, CUDA_MEM_ALLOC_NODE_PARAMS* parameters) {
  return get(node, CU_GRAPH_NODE_TYPE_MEM_ALLOC, parameters, [](const CUgraphNodeParams& all) {
    const auto& p = all.alloc;
    return CUDA_MEM_ALLOC_NODE_PARAMS{p.poolProps, p.accessDescs, p.accessDescCount, p.bytesize, p.dptr};
  });
}
CUresult CUDAAPI cuGraphAddMemFreeNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count,
                                       CUdeviceptr address) {
  CUgraphNodeParams parameters = of_type(CU_GRAPH_NODE_TYPE_MEM_FREE);
  parameters.free.dptr = address;
  return add_node(node, graph, dependencies, nullptr, count, parameters);
}
CUresult CUDAAPI cuGraphMemFreeNodeGetParams(CUgraphNode node, CUdeviceptr* address) {
  return get(node, CU_GRAPH_NODE_TYPE_MEM_FREE, address, [](const CUgraphNodeParams& p) { return p.free.dptr; });
}
