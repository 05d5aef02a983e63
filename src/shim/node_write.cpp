#include <cstring>

#include "protocol/copy_geometry.hpp"
#include "protocol/memory_operation.hpp"
#include "shim/captured_copy.hpp"
#include "shim/copy.hpp"
#include "shim/host_function.hpp"
#include "shim/launch.hpp"
#include "shim/node_parameters.hpp"
#include "shim/refuse_as.hpp"

namespace vgpu::shim {
namespace {

using namespace protocol;
using Bytes = std::vector<std::byte>;

template <typename T>
void append(Bytes& out, const T& value) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  out.insert(out.end(), bytes, bytes + sizeof value);
}

/// 0 for the current context; false if the handle names none.
bool context_handle(CUcontext context, ContextHandle& handle) noexcept {
  handle = {reinterpret_cast<u64>(context)};
  return context == nullptr || find_context(context) != nullptr;
}

CUresult write_kernel(const CUDA_KERNEL_NODE_PARAMS_v3& from, Bytes& out) {
  // `kern` and `ctx` are only looked at without `func`, as cuda.h has it: the runtime gives all three.
  KernelNode node{};
  node.function.value = reinterpret_cast<u64>(from.func != nullptr ? static_cast<void*>(from.func) : from.kern);
  if (node.function.value == 0) return CUDA_ERROR_INVALID_VALUE;
  if (from.func == nullptr && !context_handle(from.ctx, node.context)) return CUDA_ERROR_INVALID_CONTEXT;
  const Callable* callable = find_callable(node.function.value);
  if (!callable) return CUDA_ERROR_INVALID_HANDLE;
  Parameters parameters;
  const CUresult result = parameters.read(*callable, from.kernelParams, from.extra);
  if (result != CUDA_SUCCESS) return result;
  node.grid_x = from.gridDimX;
  node.grid_y = from.gridDimY;
  node.grid_z = from.gridDimZ;
  node.block_x = from.blockDimX;
  node.block_y = from.blockDimY;
  node.block_z = from.blockDimZ;
  node.shared_bytes = from.sharedMemBytes;
  node.parameter_bytes = parameters.bytes();
  append(out, node);
  const std::size_t at = out.size();
  out.resize(at + node.parameter_bytes);
  parameters.write(out.data() + at);
  return CUDA_SUCCESS;
}

/// Calls f(in the program's memory, in the packed shadow) for each row of a copy.
template <typename F>
void each_row(const PageableBox& box, const CopyNode& node, std::byte* packed, F&& f) {
  for (u64 z = 0; z < node.depth; ++z)
    for (u64 y = 0; y < node.height; ++y, packed += node.width)
      f(reinterpret_cast<std::byte*>(box.address + ((box.z + z) * box.rows + box.y + y) * box.pitch + box.x), packed);
}

/// A side in pageable memory: the copy is from or to a shadow, which a host function fills or empties at each launch.
CUresult shadow_side(CopyNodeSide& side, const CopyNode& node, bool source, NewHostFunctions& functions) {
  const PageableBox box{side.address, side.x, side.y, side.z, side.level, side.pitch, side.height};
  u64 bytes = 0;
  if (__builtin_mul_overflow(node.width, node.height, &bytes) || __builtin_mul_overflow(bytes, node.depth, &bytes) ||
      bytes == 0)
    return CUDA_ERROR_INVALID_VALUE;
  CUresult result = CUDA_SUCCESS;
  const Context* context =
      node.context.value != 0 ? find_context(reinterpret_cast<CUcontext>(node.context.value)) : current_context(result);
  if (!context) return result;
  std::shared_ptr<Shadow> shadow;
  result = make_shadow(*context, bytes, shadow);
  if (result != CUDA_SUCCESS) return result;
  HostFunction function;
  function.given = box;
  function.run = [box, node, source, shadow](CUresult) {
    each_row(box, node, shadow->memory(), [&](std::byte* own, std::byte* packed) {
      std::memcpy(source ? packed : own, source ? own : packed, node.width);
    });
  };
  side = {0, 0, 0, 0, static_cast<u64>(shadow->offset()), node.width, node.height, 0, CU_MEMORYTYPE_HOST, 0};
  result = remember_host_function(std::move(function), side.host_function);
  if (result == CUDA_SUCCESS) functions.add(side.host_function);
  return result;
}

/// A side in host memory: pinned memory is named by its place in the region. A pitch that was left out is the box's
/// own.
CUresult write_host_side(CopyNodeSide& side, const CopyNode& node, bool source, NewHostFunctions& functions) {
  if (side.pitch == 0) side.pitch = side.x + node.width;
  if (side.height == 0) side.height = side.y + node.height;
  const u64 start = (side.z * side.height + side.y) * side.pitch + side.x;
  const u64 extent = node.width == 0 || node.height == 0 || node.depth == 0
                         ? 0
                         : ((node.depth - 1) * side.height + node.height - 1) * side.pitch + node.width;
  const auto* first = reinterpret_cast<const void*>(side.address + start);
  if (!state().host_memory.contains(first, extent)) return shadow_side(side, node, source, functions);
  side.memory = CU_MEMORYTYPE_HOST;
  side.address = static_cast<u64>(state().host_memory.offset(first)) - start;
  return CUDA_SUCCESS;
}

CUresult write_side(CUmemorytype type, const void* host, CUdeviceptr device, CUarray array, CopyNodeSide& side,
                    const CopyNode& node, bool source, NewHostFunctions& functions) {
  switch (type) {
    case CU_MEMORYTYPE_HOST:
      side.address = reinterpret_cast<u64>(host);
      return write_host_side(side, node, source, functions);
    case CU_MEMORYTYPE_UNIFIED:
      side.address = device;
      if (where(side.address, 1) != Where::device) return write_host_side(side, node, source, functions);
      side.memory = CU_MEMORYTYPE_DEVICE;
      return CUDA_SUCCESS;
    case CU_MEMORYTYPE_DEVICE:
      side.address = device;
      side.memory = CU_MEMORYTYPE_DEVICE;
      return CUDA_SUCCESS;
    case CU_MEMORYTYPE_ARRAY:
      side.address = reinterpret_cast<u64>(array);
      side.memory = CU_MEMORYTYPE_ARRAY;
      return CUDA_SUCCESS;
  }
  return CUDA_ERROR_INVALID_VALUE;
}

CUresult write_copy(const CUDA_MEMCPY_NODE_PARAMS& from, Bytes& out, NewHostFunctions& functions) {
  if (from.flags != 0 || from.reserved != 0) return CUDA_ERROR_INVALID_VALUE;
  const CUDA_MEMCPY3D& copy = from.copyParams;
  CopyNode node{};
  if (!context_handle(from.copyCtx, node.context)) return CUDA_ERROR_INVALID_CONTEXT;
  set_geometry(copy, node);
  CUresult result =
      write_side(copy.srcMemoryType, copy.srcHost, copy.srcDevice, copy.srcArray, node.source, node, true, functions);
  if (result != CUDA_SUCCESS) return result;
  result = write_side(copy.dstMemoryType, copy.dstHost, copy.dstDevice, copy.dstArray, node.destination, node, false,
                      functions);
  if (result == CUDA_SUCCESS) append(out, node);
  return result;
}

CUresult write_fill(const CUDA_MEMSET_NODE_PARAMS_v2& from, Bytes& out) {
  FillNode node{Pointer{from.dst}, from.pitch, from.width, from.height, from.value, from.elementSize, {0}};
  if (!context_handle(from.ctx, node.context)) return CUDA_ERROR_INVALID_CONTEXT;
  append(out, node);
  return CUDA_SUCCESS;
}

CUresult write_allocation(const CUDA_MEM_ALLOC_NODE_PARAMS_v2& from, Bytes& out) {
  if (from.accessDescCount > kMaxNodeAccesses || (from.accessDescCount != 0 && from.accessDescs == nullptr))
    return CUDA_ERROR_INVALID_VALUE;
  if (from.poolProps.handleTypes != CU_MEM_HANDLE_TYPE_NONE)
    return refuse_as("cuGraphAddMemAllocNode", "an allocation node whose memory can be exported");
  append(out,
         AllocationNode{from.bytesize, Pointer{0}, from.poolProps.maxSize, static_cast<u32>(from.poolProps.allocType),
                        static_cast<u32>(from.poolProps.handleTypes), static_cast<u32>(from.poolProps.location.type),
                        from.poolProps.location.id, from.poolProps.usage, static_cast<u32>(from.accessDescCount)});
  for (std::size_t i = 0; i < from.accessDescCount; ++i) {
    const CUmemAccessDesc& access = from.accessDescs[i];
    append(out,
           NodeAccess{static_cast<u32>(access.location.type), access.location.id, static_cast<u32>(access.flags), 0});
  }
  return CUDA_SUCCESS;
}

CUresult write_operations(const CUDA_BATCH_MEM_OP_NODE_PARAMS_v2& from, Bytes& out) {
  if (from.count > kMaxNodeMemoryOperations || (from.count != 0 && from.paramArray == nullptr))
    return CUDA_ERROR_INVALID_VALUE;
  MemoryOperationsNode node{{0}, from.flags, from.count};
  if (!context_handle(from.ctx, node.context)) return CUDA_ERROR_INVALID_CONTEXT;
  append(out, node);
  for (unsigned i = 0; i < from.count; ++i) {
    MemoryOperation operation;
    if (!convert(from.paramArray[i], operation)) return CUDA_ERROR_INVALID_VALUE;
    append(out, operation);
  }
  return CUDA_SUCCESS;
}

CUresult write_conditional(const CUDA_CONDITIONAL_NODE_PARAMS& from, Bytes& out) {
  if (from.size > kMaxConditionalBodies) return CUDA_ERROR_INVALID_VALUE;
  ConditionalNode node{from.handle, {0}, static_cast<u32>(from.type), from.size};
  if (!context_handle(from.ctx, node.context)) return CUDA_ERROR_INVALID_CONTEXT;
  append(out, node);
  return CUDA_SUCCESS;
}

CUresult write_host(const CUDA_HOST_NODE_PARAMS_v2& from, Bytes& out, NewHostFunctions& functions) {
  if (from.fn == nullptr) return CUDA_ERROR_INVALID_VALUE;
  HostNode node{};
  const CUresult result = remember_host_function({[fn = from.fn, data = from.userData](CUresult) { fn(data); }, nullptr,
                                                  CUDA_HOST_NODE_PARAMS{from.fn, from.userData}},
                                                 node.id);
  if (result != CUDA_SUCCESS) return result;
  functions.add(node.id);
  append(out, node);
  return CUDA_SUCCESS;
}

CUresult write_event(CUevent event, Bytes& out) {
  const EventNode node{{reinterpret_cast<u64>(event)}};
  if (!state().events.find(node.event.value)) return CUDA_ERROR_INVALID_HANDLE;
  append(out, node);
  return CUDA_SUCCESS;
}

}  // namespace

NewHostFunctions::~NewHostFunctions() {
  for (const u64 id : ids_) forget_host_function(id);
}

CUresult write_node(const CUgraphNodeParams& from, std::vector<std::byte>& out, NewHostFunctions& functions) {
  if (from.reserved0[0] != 0 || from.reserved0[1] != 0 || from.reserved0[2] != 0 || from.reserved2 != 0)
    return CUDA_ERROR_INVALID_VALUE;
  switch (from.type) {
    case CU_GRAPH_NODE_TYPE_KERNEL:
      return write_kernel(from.kernel, out);
    case CU_GRAPH_NODE_TYPE_MEMCPY:
      return write_copy(from.memcpy, out, functions);
    case CU_GRAPH_NODE_TYPE_MEMSET:
      return write_fill(from.memset, out);
    case CU_GRAPH_NODE_TYPE_HOST:
      return write_host(from.host, out, functions);
    case CU_GRAPH_NODE_TYPE_GRAPH:
      append(out, ChildNode{{reinterpret_cast<u64>(from.graph.graph)}, static_cast<u32>(from.graph.ownership), 0});
      return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_EMPTY:
      return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
      return write_event(from.eventWait.event, out);
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
      return write_event(from.eventRecord.event, out);
    case CU_GRAPH_NODE_TYPE_MEM_ALLOC:
      return write_allocation(from.alloc, out);
    case CU_GRAPH_NODE_TYPE_MEM_FREE:
      append(out, FreeNode{Pointer{from.free.dptr}});
      return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
      return write_operations(from.memOp, out);
    case CU_GRAPH_NODE_TYPE_CONDITIONAL:
      return write_conditional(from.conditional, out);
    case CU_GRAPH_NODE_TYPE_EXT_SEMAS_SIGNAL:
    case CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT:
      return refuse_as("cuGraphAddNode_v2", "a graph node of external semaphores");
  }
  return CUDA_ERROR_INVALID_VALUE;
}

}  // namespace vgpu::shim
