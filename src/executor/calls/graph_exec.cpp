#include "executor/enum_range.hpp"
#include "executor/pool_memory.hpp"
#include "executor/room.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

/// The guest's handle of a node that the driver names, in whichever graph of the guest's it is: it may lie in a child
/// graph whose nodes the guest has not seen, which has no name then.
GraphNodeHandle name_node(Invocation& in, GraphHandle graph, CUgraphNode native) {
  if (native == nullptr) return {0};
  const GraphNodeHandle known = in.session.handles.handle_of<Kind::graph_node>(native);
  if (known.value != 0) return known;
  const auto owner = in.session.handles.find<CUgraph>(graph);
  std::size_t count = 0;
  if (owner == nullptr || in.cuda.cuGraphGetNodes(owner, nullptr, &count) != CUDA_SUCCESS) return {0};
  std::vector<CUgraphNode> nodes(count);
  if (count == 0 || in.cuda.cuGraphGetNodes(owner, nodes.data(), &count) != CUDA_SUCCESS) return {0};
  for (std::size_t i = 0; i < count; ++i)
    if (nodes[i] == native) return in.session.graphs.node(graph, native);
  return {0};
}

}  // namespace

VGPU_HANDLER(cuGraphInstantiateWithParams) {
  const auto graph = in.session.handles.find<CUgraph>(request.graph);
  if (graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
  Room room(in, request.exec);
  if (room.result() != CUDA_SUCCESS) return room.result();
  CUDA_GRAPH_INSTANTIATE_PARAMS parameters{};
  parameters.flags = request.flags;
  if (!in.stream(request.upload_stream, parameters.hUploadStream)) return CUDA_ERROR_INVALID_HANDLE;
  // All that its nodes may come to hold at once, before it runs for the first time.
  DeviceMemory& memory = in.session.memory;
  const u64 bytes = memory.graphs_allocate() ? graph_allocation_bytes(in.cuda, graph) : 0;
  std::optional<Charge> charge;
  if (bytes != 0 && !(charge = memory.reserve_for_exec(bytes))) return CUDA_ERROR_OUT_OF_MEMORY;
  CUgraphExec exec = nullptr;
  const CUresult result = in.cuda.cuGraphInstantiateWithParams(&exec, graph, &parameters);
  reply.error = static_cast<i32>(result);
  reply.result = static_cast<u32>(parameters.result_out);
  reply.error_node = name_node(in, request.graph, parameters.hErrNode_out);
  if (result != CUDA_SUCCESS) return CUDA_SUCCESS;
  room.put(exec);
  if (charge) memory.instantiated(exec, bytes, *std::move(charge));
  return CUDA_SUCCESS;
}

VGPU_HANDLER(cuGraphExecDestroy) {
  const auto exec = in.session.handles.take<CUgraphExec>(request.exec);
  if (exec == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const u64 bytes = in.session.memory.exec_ending(exec);
  const CUresult result = in.cuda.cuGraphExecDestroy(exec);
  in.session.memory.exec_destroyed(bytes);
  return result;
}

VGPU_HANDLER(cuGraphLaunch) {
  CUstream stream = nullptr;
  const auto exec = in.session.handles.find<CUgraphExec>(request.exec);
  if (exec == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return in.stream(request.stream, stream) ? in.cuda.cuGraphLaunch(exec, stream) : CUDA_ERROR_INVALID_HANDLE;
}

VGPU_HANDLER(cuGraphUpload) {
  CUstream stream = nullptr;
  const auto exec = in.session.handles.find<CUgraphExec>(request.exec);
  if (exec == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return in.stream(request.stream, stream) ? in.cuda.cuGraphUpload(exec, stream) : CUDA_ERROR_INVALID_HANDLE;
}

VGPU_HANDLER(cuGraphExecUpdate) {
  const auto exec = in.session.handles.find<CUgraphExec>(request.exec);
  const auto graph = in.session.handles.find<CUgraph>(request.graph);
  if (exec == nullptr || graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
  CUgraphExecUpdateResultInfo info{};
  const CUresult result = in.cuda.cuGraphExecUpdate_v2(exec, graph, &info);
  reply.error = static_cast<i32>(result);
  reply.result = static_cast<u32>(info.result);
  reply.error_node = name_node(in, request.graph, info.errorNode);
  reply.error_from_node = name_node(in, request.graph, info.errorFromNode);
  return CUDA_SUCCESS;
}

VGPU_HANDLER(cuDeviceGetGraphMemAttribute) {
  CUdevice device = 0;
  CUgraphMem_attribute attribute{};
  if (!in.session.device(request.device, device)) return CUDA_ERROR_INVALID_DEVICE;
  if (!to_enum<CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH>(request.attribute, attribute)) return CUDA_ERROR_INVALID_VALUE;
  cuuint64_t value = 0;
  const CUresult result = in.cuda.cuDeviceGetGraphMemAttribute(device, attribute, &value);
  reply.value = value;
  return result;
}

VGPU_HANDLER(cuDeviceSetGraphMemAttribute) {
  CUdevice device = 0;
  CUgraphMem_attribute attribute{};
  if (!in.session.device(request.device, device)) return CUDA_ERROR_INVALID_DEVICE;
  if (!to_enum<CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH>(request.attribute, attribute)) return CUDA_ERROR_INVALID_VALUE;
  cuuint64_t value = request.value;
  return in.cuda.cuDeviceSetGraphMemAttribute(device, attribute, &value);
}

VGPU_HANDLER(cuDeviceGraphMemTrim) {
  CUdevice device = 0;
  if (!in.session.device(request.device, device)) return CUDA_ERROR_INVALID_DEVICE;
  const CUresult result = in.cuda.cuDeviceGraphMemTrim(device);
  in.session.memory.refresh();
  return result;
}

}  // namespace vgpu::executor
