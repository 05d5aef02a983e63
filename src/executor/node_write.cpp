// Parameters of graph nodes in the form that travels, from what the driver says of a node.
#include <algorithm>
#include <cstring>

#include "executor/graph_host_call.hpp"
#include "executor/node_parameters.hpp"
#include "protocol/copy_geometry.hpp"
#include "protocol/memory_operation.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

using Bytes = std::vector<std::byte>;

template <typename T>
void append(Bytes& out, const T& value) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  out.insert(out.end(), bytes, bytes + sizeof value);
}

/// A kernel's function that the guest never asked for by name is found by the kernel that it is a context's form of.
CallableHandle find_kernel_of(Invocation& in, CUfunction function) {
  const char* name = nullptr;
  if (in.cuda.cuFuncGetName(&name, function) != CUDA_SUCCESS || name == nullptr) return {0};
  CallableHandle found{0};
  in.session.handles.for_each<Kind::kernel>([&](KernelHandle handle, void* native) {
    const auto kernel = static_cast<CUkernel>(native);
    const char* its = nullptr;
    CUfunction form = nullptr;
    if (in.cuda.cuKernelGetName(&its, kernel) != CUDA_SUCCESS || its == nullptr || std::strcmp(its, name) != 0)
      return false;
    if (in.cuda.cuKernelGetFunction(&form, kernel) != CUDA_SUCCESS || form != function) return false;
    found.value = handle.value;
    return true;
  });
  return found;
}

/// The guest's handle of what a node launches: where a CUfunction is asked for, drivers take and give a CUkernel too.
CallableHandle callable_of(Invocation& in, CUfunction function, CUkernel kernel) {
  const Handles& handles = in.session.handles;
  if (function == nullptr) return {handles.handle_of<Kind::kernel>(kernel).value};
  if (const auto found = handles.handle_of<Kind::function>(function); found.value != 0) return {found.value};
  if (const auto found = handles.handle_of<Kind::kernel>(function); found.value != 0) return {found.value};
  if (const auto found = handles.handle_of<Kind::kernel>(kernel); found.value != 0) return {found.value};
  return find_kernel_of(in, function);
}

/// The packed parameters that `extra` names.
CUresult copy_packed(void** extra, Bytes& values) {
  const void* buffer = nullptr;
  std::size_t size = 0;
  for (unsigned i = 0; i < 4 && extra[i] != CU_LAUNCH_PARAM_END; i += 2) {
    if (extra[i] == CU_LAUNCH_PARAM_BUFFER_POINTER) buffer = extra[i + 1];
    if (extra[i] == CU_LAUNCH_PARAM_BUFFER_SIZE) size = *static_cast<const std::size_t*>(extra[i + 1]);
  }
  if (size > kMaxParameterBytes) return CUDA_ERROR_INVALID_VALUE;
  values.resize(size);
  if (buffer != nullptr && size != 0) std::memcpy(values.data(), buffer, size);
  return CUDA_SUCCESS;
}

CUresult write_kernel(Invocation& in, const CUDA_KERNEL_NODE_PARAMS_v3& from, Bytes& out) {
  KernelNode node{};
  node.function = callable_of(in, from.func, from.kern);
  if (node.function.value == 0) return CUDA_ERROR_INVALID_HANDLE;
  node.context = in.session.contexts.handle_of(from.ctx);
  node.grid_x = from.gridDimX;
  node.grid_y = from.gridDimY;
  node.grid_z = from.gridDimZ;
  node.block_x = from.blockDimX;
  node.block_y = from.blockDimY;
  node.block_z = from.blockDimZ;
  node.shared_bytes = from.sharedMemBytes;
  Bytes values;
  if (from.kernelParams != nullptr) {
    const auto kernel = in.session.handles.find<CUkernel>(KernelHandle{node.function.value});
    for (std::size_t i = 0;; ++i) {
      std::size_t offset = 0;
      std::size_t size = 0;
      const CUresult result = kernel != nullptr ? in.cuda.cuKernelGetParamInfo(kernel, i, &offset, &size)
                                                : in.cuda.cuFuncGetParamInfo(from.func, i, &offset, &size);
      if (result == CUDA_ERROR_INVALID_VALUE) break;  // past the last one
      if (result != CUDA_SUCCESS) return result;
      if (offset + size > kMaxParameterBytes) return CUDA_ERROR_INVALID_VALUE;
      values.resize(std::max(values.size(), offset + size));
      std::memcpy(values.data() + offset, from.kernelParams[i], size);
    }
  } else if (from.extra != nullptr) {
    if (const CUresult result = copy_packed(from.extra, values); result != CUDA_SUCCESS) return result;
  }
  node.parameter_bytes = static_cast<u32>(values.size());
  append(out, node);
  out.insert(out.end(), values.begin(), values.end());
  return CUDA_SUCCESS;
}

CUresult write_side(Invocation& in, CUmemorytype type, const void* host, CUdeviceptr device, CUarray array,
                    CopyNodeSide& side) {
  if (type == CU_MEMORYTYPE_UNIFIED) host = reinterpret_cast<const void*>(device);
  Offset offset{0};
  switch (type) {
    case CU_MEMORYTYPE_HOST:
    case CU_MEMORYTYPE_UNIFIED:
      if (in.session.region.arena_offset(host, offset)) {
        side.memory = CU_MEMORYTYPE_HOST;
        side.address = static_cast<u64>(offset);
        return CUDA_SUCCESS;
      }
      // Memory of this process is nothing that the guest could name.
      if (type == CU_MEMORYTYPE_HOST) return in.refuse("cuGraphMemcpyNodeGetParams");
      [[fallthrough]];
    case CU_MEMORYTYPE_DEVICE:
      side.memory = CU_MEMORYTYPE_DEVICE;
      side.address = device;
      return CUDA_SUCCESS;
    case CU_MEMORYTYPE_ARRAY:
      side.memory = CU_MEMORYTYPE_ARRAY;
      side.address = in.session.handles.handle_of<Kind::array>(array).value;
      return CUDA_SUCCESS;
  }
  return in.refuse("cuGraphMemcpyNodeGetParams");
}

CUresult write_copy(Invocation& in, const CUDA_MEMCPY_NODE_PARAMS& from, const CopyFunctions& functions, Bytes& out) {
  const CUDA_MEMCPY3D& copy = from.copyParams;
  CopyNode node{};
  set_geometry(copy, node);
  node.source.host_function = functions.before;
  node.destination.host_function = functions.after;
  node.context = in.session.contexts.handle_of(from.copyCtx);
  CUresult result = write_side(in, copy.srcMemoryType, copy.srcHost, copy.srcDevice, copy.srcArray, node.source);
  if (result == CUDA_SUCCESS)
    result = write_side(in, copy.dstMemoryType, copy.dstHost, copy.dstDevice, copy.dstArray, node.destination);
  if (result == CUDA_SUCCESS) append(out, node);
  return result;
}

/// The guest's ordinal of a device.
i32 ordinal_of(const Invocation& in, int device) noexcept { return in.session.config.device < 0 ? device : 0; }

CUresult write_allocation(Invocation& in, const CUDA_MEM_ALLOC_NODE_PARAMS_v2& from, Bytes& out) {
  if (from.accessDescCount > kMaxNodeAccesses) return CUDA_ERROR_INVALID_VALUE;
  const CUmemPoolProps& pool = from.poolProps;
  append(out, AllocationNode{from.bytesize, Pointer{from.dptr}, pool.maxSize, static_cast<u32>(pool.allocType),
                             static_cast<u32>(pool.handleTypes), static_cast<u32>(pool.location.type),
                             ordinal_of(in, pool.location.id), pool.usage, static_cast<u32>(from.accessDescCount)});
  for (std::size_t i = 0; i < from.accessDescCount; ++i) {
    const CUmemAccessDesc& access = from.accessDescs[i];
    append(out, NodeAccess{static_cast<u32>(access.location.type), ordinal_of(in, access.location.id),
                           static_cast<u32>(access.flags), 0});
  }
  return CUDA_SUCCESS;
}

}  // namespace

CUresult write_parameters(Invocation& in, GraphNodeHandle node, const CUgraphNodeParams& from,
                          const CopyFunctions& functions, Bytes& out) {
  const auto context = [&](CUcontext native) { return in.session.contexts.handle_of(native); };
  const auto event = [&](CUevent native) { append(out, EventNode{in.session.handles.handle_of<Kind::event>(native)}); };
  switch (from.type) {
    case CU_GRAPH_NODE_TYPE_KERNEL:
      return write_kernel(in, from.kernel, out);
    case CU_GRAPH_NODE_TYPE_MEMCPY:
      return write_copy(in, from.memcpy, functions, out);
    case CU_GRAPH_NODE_TYPE_MEMSET: {
      const auto& it = from.memset;
      append(out, FillNode{Pointer{it.dst}, it.pitch, it.width, it.height, it.value, it.elementSize, context(it.ctx)});
      return CUDA_SUCCESS;
    }
    case CU_GRAPH_NODE_TYPE_HOST:
      if (from.host.fn != &run_graph_host_call) return in.refuse("cuGraphHostNodeGetParams");
      append(out, HostNode{static_cast<const GraphHostCall*>(from.host.userData)->id});
      return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_GRAPH:
      append(out,
             ChildNode{in.session.graphs.child(node, from.graph.graph), static_cast<u32>(from.graph.ownership), 0});
      return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_EMPTY:
      return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
      event(from.eventWait.event);
      return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
      event(from.eventRecord.event);
      return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_MEM_ALLOC:
      return write_allocation(in, from.alloc, out);
    case CU_GRAPH_NODE_TYPE_MEM_FREE:
      append(out, FreeNode{Pointer{from.free.dptr}});
      return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
      append(out, MemoryOperationsNode{context(from.memOp.ctx), from.memOp.flags, from.memOp.count});
      for (unsigned i = 0; i < from.memOp.count; ++i) {
        MemoryOperation operation;
        if (!convert(from.memOp.paramArray[i], operation)) return in.refuse("cuGraphBatchMemOpNodeGetParams");
        append(out, operation);
      }
      return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_CONDITIONAL: {
      const auto& it = from.conditional;
      append(out, ConditionalNode{it.handle, context(it.ctx), static_cast<u32>(it.type), it.size});
      for (unsigned i = 0; i < it.size; ++i) append(out, in.session.graphs.child(node, it.phGraph_out[i]));
      return CUDA_SUCCESS;
    }
    default:
      return in.refuse("cuGraphNodeGetType");
  }
}

CUresult read_node(Invocation& in, CUgraphNode node, CUgraphNodeParams& to, CopyFunctions& functions) {
  const Driver& cuda = in.cuda;
  to = {};
  CUresult result = cuda.cuGraphNodeGetType(node, &to.type);
  if (result != CUDA_SUCCESS) return result;
  switch (to.type) {
    case CU_GRAPH_NODE_TYPE_KERNEL: {
      CUDA_KERNEL_NODE_PARAMS_v2 p{};
      result = cuda.cuGraphKernelNodeGetParams_v2(node, &p);
      to.kernel = {p.func,      p.gridDimX,       p.gridDimY,     p.gridDimZ, p.blockDimX, p.blockDimY,
                   p.blockDimZ, p.sharedMemBytes, p.kernelParams, p.extra,    p.kern,      p.ctx};
      return result;
    }
    case CU_GRAPH_NODE_TYPE_MEMCPY:
      return cuda.cuGraphMemcpyNodeGetParams(node, &to.memcpy.copyParams);
    case CU_GRAPH_NODE_TYPE_MEMSET: {
      CUDA_MEMSET_NODE_PARAMS p{};
      result = cuda.cuGraphMemsetNodeGetParams(node, &p);
      to.memset = {p.dst, p.pitch, p.value, p.elementSize, p.width, p.height, nullptr};
      return result;
    }
    case CU_GRAPH_NODE_TYPE_HOST: {
      CUDA_HOST_NODE_PARAMS p{};
      result = cuda.cuGraphHostNodeGetParams(node, &p);
      to.host = {p.fn, p.userData};
      return result;
    }
    case CU_GRAPH_NODE_TYPE_GRAPH:
      if (CopyGraph parts; find_copy_graph(cuda, node, parts)) {
        functions = functions_of(cuda, parts);
        to.type = CU_GRAPH_NODE_TYPE_MEMCPY;
        return cuda.cuGraphMemcpyNodeGetParams(parts.copy, &to.memcpy.copyParams);
      }
      return cuda.cuGraphChildGraphNodeGetGraph(node, &to.graph.graph);
    case CU_GRAPH_NODE_TYPE_EMPTY:
      return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
      return cuda.cuGraphEventWaitNodeGetEvent(node, &to.eventWait.event);
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
      return cuda.cuGraphEventRecordNodeGetEvent(node, &to.eventRecord.event);
    case CU_GRAPH_NODE_TYPE_MEM_ALLOC: {
      CUDA_MEM_ALLOC_NODE_PARAMS p{};
      result = cuda.cuGraphMemAllocNodeGetParams(node, &p);
      to.alloc = {p.poolProps, p.accessDescs, p.accessDescCount, p.bytesize, p.dptr};
      return result;
    }
    case CU_GRAPH_NODE_TYPE_MEM_FREE:
      return cuda.cuGraphMemFreeNodeGetParams(node, &to.free.dptr);
    case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP: {
      CUDA_BATCH_MEM_OP_NODE_PARAMS p{};
      result = cuda.cuGraphBatchMemOpNodeGetParams(node, &p);
      to.memOp = {p.ctx, p.count, p.paramArray, p.flags};
      return result;
    }
    default:
      return in.refuse("cuGraphNodeGetType");
  }
}

}  // namespace vgpu::executor
