#include "executor/node_parameters.hpp"

#include <cstring>

#include "executor/callable.hpp"
#include "executor/enum_range.hpp"
#include "executor/graph_host_call.hpp"
#include "protocol/copy_geometry.hpp"
#include "protocol/memory_operation.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

CUresult bad_node(Invocation& in, std::string_view what) { return in.violate(VGPU_END_BAD_REQUEST, what); }

/// Context 0 is the current one, which the driver takes as null.
bool find_context(Invocation& in, ContextHandle handle, CUcontext& native) noexcept {
  native = nullptr;
  if (handle.value == 0) return true;
  if (handle.well_formed()) native = in.session.contexts.find(handle.index());
  return native != nullptr;
}

/// Where a copy's first byte lies, counted from the side's address, and how far it reaches from there. False: more than
/// 64 bits.
bool reach(const CopyNodeSide& side, const CopyNode& node, u64 pitch, u64 rows, u64& start, u64& extent) noexcept {
  const auto place = [&](u64 z, u64 y, u64 x, u64& at) {
    u64 row = 0;
    return !__builtin_mul_overflow(z, rows, &row) && !__builtin_add_overflow(row, y, &row) &&
           !__builtin_mul_overflow(row, pitch, &at) && !__builtin_add_overflow(at, x, &at);
  };
  if (!place(side.z, side.y, side.x, start)) return false;
  extent = 0;
  if (node.width == 0 || node.height == 0 || node.depth == 0) return true;
  return place(node.depth - 1, node.height - 1, node.width, extent);
}

}  // namespace

template <typename Node>
bool NodeParameters::take(Invocation& in, Node& node, u64 following) {
  if (bytes_.size() < sizeof node) {
    bad_node(in, "length of a node's parameters");
    return false;
  }
  std::memcpy(&node, bytes_.data(), sizeof node);
  if (bytes_.size() - sizeof node != following) {
    bad_node(in, "length of a node's parameters");
    return false;
  }
  return true;
}

CUresult NodeParameters::read_kernel(Invocation& in) {
  KernelNode node{};
  if (bytes_.size() >= sizeof node) std::memcpy(&node, bytes_.data(), sizeof node);
  if (node.parameter_bytes > kMaxParameterBytes || bytes_.size() != sizeof node + node.parameter_bytes)
    return bad_node(in, "length of the parameters");
  CUDA_KERNEL_NODE_PARAMS_v3& to = native_.kernel;
  const FunctionHandle function{node.function.value};
  if (function.well_formed())
    to.func = in.session.handles.find<CUfunction>(function);
  else
    to.kern = in.session.handles.find<CUkernel>(KernelHandle{node.function.value});
  if (to.func == nullptr && to.kern == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (!find_context(in, node.context, to.ctx)) return CUDA_ERROR_INVALID_CONTEXT;
  to.gridDimX = node.grid_x;
  to.gridDimY = node.grid_y;
  to.gridDimZ = node.grid_z;
  to.blockDimX = node.block_x;
  to.blockDimY = node.block_y;
  to.blockDimZ = node.block_z;
  to.sharedMemBytes = node.shared_bytes;
  extra_bytes_ = node.parameter_bytes;
  extra_ = {CU_LAUNCH_PARAM_BUFFER_POINTER, bytes_.data() + sizeof node, CU_LAUNCH_PARAM_BUFFER_SIZE, &extra_bytes_,
            CU_LAUNCH_PARAM_END};
  to.extra = extra_bytes_ != 0 ? extra_.data() : nullptr;
  return CUDA_SUCCESS;
}

CUresult NodeParameters::read_side(Invocation& in, const CopyNodeSide& side, const CopyNode& node, CUmemorytype& type,
                                   std::byte*& host, CUdeviceptr& device, CUarray& array) {
  if (side.zero != 0 || (side.host_function != 0 && side.memory != CU_MEMORYTYPE_HOST))
    return bad_node(in, "a reserved field is not 0");
  switch (side.memory) {
    case CU_MEMORYTYPE_HOST: {
      // What the driver makes of a missing pitch must not decide how far the copy reaches.
      const bool rows = node.height > 1 || side.y != 0;
      const bool slices = node.depth > 1 || side.z != 0;
      if ((side.pitch == 0 && (rows || slices)) || (side.height == 0 && slices)) return CUDA_ERROR_INVALID_VALUE;
      u64 start = 0;
      u64 extent = 0;
      if (!reach(side, node, side.pitch, side.height, start, extent))
        return in.violate(VGPU_END_BAD_BULK, "host memory of a copy node");
      std::byte* first = in.session.region.span(Offset{side.address + start}, extent);
      if (first == nullptr) return in.violate(VGPU_END_BAD_BULK, "host memory of a copy node");
      type = CU_MEMORYTYPE_HOST;
      host = first - start;
      return CUDA_SUCCESS;
    }
    case CU_MEMORYTYPE_DEVICE:
      type = CU_MEMORYTYPE_DEVICE;
      device = side.address;
      return CUDA_SUCCESS;
    case CU_MEMORYTYPE_ARRAY:
      type = CU_MEMORYTYPE_ARRAY;
      array = in.session.handles.find<CUarray>(ArrayHandle{side.address});
      return array != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
    default:
      return bad_node(in, "a side of a copy node");
  }
}

CUresult NodeParameters::read_copy(Invocation& in) {
  CopyNode node{};
  if (!take(in, node)) return CUDA_ERROR_UNKNOWN;
  if (!find_context(in, node.context, native_.memcpy.copyCtx)) return CUDA_ERROR_INVALID_CONTEXT;
  functions_ = {node.source.host_function, node.destination.host_function};
  CUDA_MEMCPY3D& copy = native_.memcpy.copyParams;
  std::byte* host = nullptr;
  CUresult result = read_side(in, node.source, node, copy.srcMemoryType, host, copy.srcDevice, copy.srcArray);
  if (result != CUDA_SUCCESS) return result;
  copy.srcHost = host;
  host = nullptr;
  result = read_side(in, node.destination, node, copy.dstMemoryType, host, copy.dstDevice, copy.dstArray);
  if (result != CUDA_SUCCESS) return result;
  copy.dstHost = host;
  set_geometry(node, copy);
  return CUDA_SUCCESS;
}

CUresult NodeParameters::read_fill(Invocation& in) {
  FillNode node{};
  if (!take(in, node)) return CUDA_ERROR_UNKNOWN;
  native_.memset = {static_cast<CUdeviceptr>(node.destination),
                    node.pitch,
                    node.value,
                    node.element_bytes,
                    node.width,
                    node.height,
                    nullptr};
  return find_context(in, node.context, native_.memset.ctx) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult NodeParameters::read_host(Invocation& in, CUgraph owner) {
  HostNode node{};
  if (!take(in, node)) return CUDA_ERROR_UNKNOWN;
  GraphHostCall* call = nullptr;
  native_.host.fn = &run_graph_host_call;
  const CUresult result = owner != nullptr ? make_graph_host_call(in.session, owner, node.id, call)
                                           : keep_graph_host_call(in.session, node.id, call);
  native_.host.userData = call;
  return result;
}

CUresult NodeParameters::read_child(Invocation& in) {
  ChildNode node{};
  if (!take(in, node)) return CUDA_ERROR_UNKNOWN;
  if (node.zero != 0) return bad_node(in, "a reserved field is not 0");
  native_.graph.graph = in.session.handles.find<CUgraph>(node.graph);
  if (native_.graph.graph == nullptr ||
      !to_enum<CU_GRAPH_CHILD_GRAPH_OWNERSHIP_MOVE>(node.ownership, native_.graph.ownership))
    return CUDA_ERROR_INVALID_VALUE;
  if (native_.graph.ownership == CU_GRAPH_CHILD_GRAPH_OWNERSHIP_MOVE) moved_ = node.graph;
  return CUDA_SUCCESS;
}

CUresult NodeParameters::read_event(Invocation& in, CUevent& event) {
  EventNode node{};
  if (!take(in, node)) return CUDA_ERROR_UNKNOWN;
  event = in.session.handles.find<CUevent>(node.event);
  return event != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

CUresult NodeParameters::read_allocation(Invocation& in) {
  AllocationNode node{};
  if (bytes_.size() >= sizeof node) std::memcpy(&node, bytes_.data(), sizeof node);
  if (node.access_count > kMaxNodeAccesses) return bad_node(in, "count of access descriptions");
  if (!take(in, node, node.access_count * sizeof(NodeAccess))) return CUDA_ERROR_UNKNOWN;
  CUDA_MEM_ALLOC_NODE_PARAMS_v2& to = native_.alloc;
  to.bytesize = node.bytes;
  to.poolProps.maxSize = node.max_bytes;
  to.poolProps.usage = static_cast<unsigned short>(node.usage);
  // What other processes could take is never shared with them.
  if (node.handle_types != CU_MEM_HANDLE_TYPE_NONE) return in.refuse("cuGraphAddMemAllocNode");
  to.poolProps.handleTypes = CU_MEM_HANDLE_TYPE_NONE;
  const auto location = [&](u32 type, i32 id, CUmemLocation& out) {
    CUdevice device = 0;
    if (type != CU_MEM_LOCATION_TYPE_DEVICE) return in.refuse("cuGraphAddMemAllocNode");
    if (!in.session.device(id, device)) return CUDA_ERROR_INVALID_DEVICE;
    out.type = CU_MEM_LOCATION_TYPE_DEVICE;
    out.id = device;
    return CUDA_SUCCESS;
  };
  if (!to_enum<CU_MEM_ALLOCATION_TYPE_MANAGED>(node.allocation_type, to.poolProps.allocType))
    return CUDA_ERROR_INVALID_VALUE;
  CUresult result = location(node.location_type, node.location, to.poolProps.location);
  for (u32 i = 0; result == CUDA_SUCCESS && i < node.access_count; ++i) {
    NodeAccess access;
    std::memcpy(&access, bytes_.data() + sizeof node + i * sizeof access, sizeof access);
    CUmemAccessDesc& desc = accesses_.emplace_back();
    if (!to_enum<CU_MEM_ACCESS_FLAGS_PROT_READWRITE>(access.flags, desc.flags)) return CUDA_ERROR_INVALID_VALUE;
    result = location(access.location_type, access.location, desc.location);
  }
  to.accessDescs = accesses_.empty() ? nullptr : accesses_.data();
  to.accessDescCount = accesses_.size();
  return result;
}

CUresult NodeParameters::read_operations(Invocation& in) {
  MemoryOperationsNode node{};
  if (bytes_.size() >= sizeof node) std::memcpy(&node, bytes_.data(), sizeof node);
  if (node.count > kMaxNodeMemoryOperations) return bad_node(in, "count of memory operations");
  if (!take(in, node, node.count * sizeof(MemoryOperation))) return CUDA_ERROR_UNKNOWN;
  if (!find_context(in, node.context, native_.memOp.ctx)) return CUDA_ERROR_INVALID_CONTEXT;
  for (u32 i = 0; i < node.count; ++i) {
    MemoryOperation from;
    std::memcpy(&from, bytes_.data() + sizeof node + i * sizeof from, sizeof from);
    if (!convert(from, operations_.emplace_back())) return CUDA_ERROR_INVALID_VALUE;
  }
  in.session.waits_on_memory.store(true, std::memory_order_relaxed);
  native_.memOp.count = node.count;
  native_.memOp.paramArray = operations_.data();
  native_.memOp.flags = node.flags;
  return CUDA_SUCCESS;
}

CUresult NodeParameters::read_conditional(Invocation& in) {
  ConditionalNode node{};
  if (!take(in, node)) return CUDA_ERROR_UNKNOWN;
  if (node.size > kMaxConditionalBodies) return CUDA_ERROR_INVALID_VALUE;
  if (!find_context(in, node.context, native_.conditional.ctx)) return CUDA_ERROR_INVALID_CONTEXT;
  if (!to_enum<CU_GRAPH_COND_TYPE_SWITCH>(node.type, native_.conditional.type)) return CUDA_ERROR_INVALID_VALUE;
  if (!in.session.graphs.has_condition(node.condition)) return CUDA_ERROR_INVALID_VALUE;
  native_.conditional.handle = node.condition;
  native_.conditional.size = node.size;
  return CUDA_SUCCESS;
}

CUresult NodeParameters::read(Invocation& in, u32 type, std::span<const std::byte> from, CUgraph owner) {
  if (!to_enum<CU_GRAPH_NODE_TYPE_CONDITIONAL>(type, native_.type)) return CUDA_ERROR_INVALID_VALUE;
  bytes_.assign(from.begin(), from.end());
  switch (native_.type) {
    case CU_GRAPH_NODE_TYPE_KERNEL:
      return read_kernel(in);
    case CU_GRAPH_NODE_TYPE_MEMCPY:
      return read_copy(in);
    case CU_GRAPH_NODE_TYPE_MEMSET:
      return read_fill(in);
    case CU_GRAPH_NODE_TYPE_HOST:
      return read_host(in, owner);
    case CU_GRAPH_NODE_TYPE_GRAPH:
      return read_child(in);
    case CU_GRAPH_NODE_TYPE_EMPTY:
      return bytes_.empty() ? CUDA_SUCCESS : bad_node(in, "length of a node's parameters");
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
      return read_event(in, native_.eventWait.event);
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
      return read_event(in, native_.eventRecord.event);
    case CU_GRAPH_NODE_TYPE_MEM_ALLOC:
      return read_allocation(in);
    case CU_GRAPH_NODE_TYPE_MEM_FREE: {
      FreeNode node{};
      if (!take(in, node)) return CUDA_ERROR_UNKNOWN;
      native_.free.dptr = static_cast<CUdeviceptr>(node.address);
      return CUDA_SUCCESS;
    }
    case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
      return read_operations(in);
    case CU_GRAPH_NODE_TYPE_CONDITIONAL:
      return read_conditional(in);
    default:
      return in.refuse();
  }
}

}  // namespace vgpu::executor
