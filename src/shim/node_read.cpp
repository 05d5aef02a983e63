// Parameters of graph nodes as the host gives them: into cuda.h's structures and the arrays that those point to.
#include <algorithm>
#include <cstring>

#include "protocol/copy_geometry.hpp"
#include "protocol/memory_operation.hpp"
#include "shim/callable.hpp"
#include "shim/host_function.hpp"
#include "shim/node_parameters.hpp"
#include "shim/refuse_as.hpp"

namespace vgpu::shim {
namespace {

using namespace protocol;

/// Takes values from the front of an answer; the host's own, but a broken one must not be read beyond its end.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> from) : rest_(from) {}
  template <typename T>
  T take() {
    T value{};
    if (rest_.size() < sizeof value) {
      good_ = false;
      return value;
    }
    std::memcpy(&value, rest_.data(), sizeof value);
    rest_ = rest_.subspan(sizeof value);
    return value;
  }
  std::span<const std::byte> rest() const noexcept { return rest_; }
  /// True if everything was there and `left` bytes remain.
  bool good(u64 left = 0) const noexcept { return good_ && rest_.size() == left; }

 private:
  std::span<const std::byte> rest_;
  bool good_ = true;
};

CUcontext as_context(ContextHandle handle) noexcept { return reinterpret_cast<CUcontext>(handle.value); }

/// A side in pageable memory as the program gave it, in place of its shadow.
CopyNodeSide own_side(CopyNodeSide side) {
  const auto function = side.host_function != 0 ? find_host_function(side.host_function) : nullptr;
  const auto* box = function ? std::any_cast<PageableBox>(&function->given) : nullptr;
  side.host_function = 0;
  if (!box) return side;
  return {box->x, box->y, box->z, box->level, box->address, box->pitch, box->rows, 1, side.memory, 0};
}

void read_side(const CopyNodeSide& side, CUmemorytype& type, const void*& host, CUdeviceptr& device, CUarray& array) {
  type = static_cast<CUmemorytype>(side.memory);
  if (type == CU_MEMORYTYPE_HOST && side.host_function != 0)
    host = reinterpret_cast<const void*>(side.address);
  else if (type == CU_MEMORYTYPE_HOST)
    host = state().channel->arena() + (side.address - VGPU_ARENA_OFFSET);
  else if (type == CU_MEMORYTYPE_ARRAY)
    array = reinterpret_cast<CUarray>(side.address);
  else
    device = side.address;
}

CUDA_MEMCPY_NODE_PARAMS copy_of(CopyNode node) {
  node.source = own_side(node.source);
  node.destination = own_side(node.destination);
  CUDA_MEMCPY_NODE_PARAMS to{};
  CUDA_MEMCPY3D& copy = to.copyParams;
  to.copyCtx = as_context(node.context);
  const void* destination = nullptr;
  read_side(node.source, copy.srcMemoryType, copy.srcHost, copy.srcDevice, copy.srcArray);
  read_side(node.destination, copy.dstMemoryType, destination, copy.dstDevice, copy.dstArray);
  copy.dstHost = const_cast<void*>(destination);
  set_geometry(node, copy);
  return to;
}

}  // namespace

CUresult NodeMemory::read_kernel(std::span<const std::byte> from, CUDA_KERNEL_NODE_PARAMS_v3& to) {
  Reader in(from);
  const auto node = in.take<KernelNode>();
  const Callable* callable = find_callable(node.function.value);
  if (!in.good(node.parameter_bytes) || !callable) return CUDA_ERROR_UNKNOWN;
  // The runtime knows a function by the kernel that it is a context's form of.
  const bool is_function = FunctionHandle{node.function.value}.well_formed();
  if (is_function) to.func = reinterpret_cast<CUfunction>(node.function.value);
  to.kern = reinterpret_cast<CUkernel>(is_function ? callable->kernel : node.function.value);
  to.ctx = as_context(node.context);
  to.gridDimX = node.grid_x;
  to.gridDimY = node.grid_y;
  to.gridDimZ = node.grid_z;
  to.blockDimX = node.block_x;
  to.blockDimY = node.block_y;
  to.blockDimZ = node.block_z;
  to.sharedMemBytes = node.shared_bytes;
  // A block that was packed by the program may end before the last parameter does.
  values_.resize(std::max(callable->parameter_bytes, node.parameter_bytes));
  if (!in.rest().empty()) std::memcpy(values_.data(), in.rest().data(), in.rest().size());
  pointers_.resize(callable->parameters.size());
  for (std::size_t i = 0; i < pointers_.size(); ++i) pointers_[i] = values_.data() + callable->parameters[i].offset;
  to.kernelParams = pointers_.empty() ? nullptr : pointers_.data();
  return CUDA_SUCCESS;
}

CUresult NodeMemory::read(CUgraphNodeType type, std::span<const std::byte> from, CUgraphNodeParams& to) {
  to = {};
  to.type = type;
  Reader in(from);
  switch (type) {
    case CU_GRAPH_NODE_TYPE_KERNEL:
      return read_kernel(from, to.kernel);
    case CU_GRAPH_NODE_TYPE_MEMCPY:
      to.memcpy = copy_of(in.take<CopyNode>());
      break;
    case CU_GRAPH_NODE_TYPE_MEMSET: {
      const auto node = in.take<FillNode>();
      to.memset = {static_cast<CUdeviceptr>(node.destination),
                   node.pitch,
                   node.value,
                   node.element_bytes,
                   node.width,
                   node.height,
                   as_context(node.context)};
      break;
    }
    case CU_GRAPH_NODE_TYPE_HOST: {
      const auto function = find_host_function(in.take<HostNode>().id);
      const auto* given = function ? std::any_cast<CUDA_HOST_NODE_PARAMS>(&function->given) : nullptr;
      if (!given) return refuse_as("cuGraphHostNodeGetParams", "the parameters of a part of a captured copy");
      to.host = {given->fn, given->userData};
      break;
    }
    case CU_GRAPH_NODE_TYPE_GRAPH: {
      const auto node = in.take<ChildNode>();
      to.graph = {reinterpret_cast<CUgraph>(node.graph.value),
                  static_cast<CUgraphChildGraphNodeOwnership>(node.ownership)};
      break;
    }
    case CU_GRAPH_NODE_TYPE_EMPTY:
      break;
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
      to.eventWait.event = reinterpret_cast<CUevent>(in.take<EventNode>().event.value);
      break;
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
      to.eventRecord.event = reinterpret_cast<CUevent>(in.take<EventNode>().event.value);
      break;
    case CU_GRAPH_NODE_TYPE_MEM_ALLOC: {
      const auto node = in.take<AllocationNode>();
      to.alloc.bytesize = node.bytes;
      to.alloc.dptr = static_cast<CUdeviceptr>(node.address);
      to.alloc.poolProps.allocType = static_cast<CUmemAllocationType>(node.allocation_type);
      to.alloc.poolProps.handleTypes = static_cast<CUmemAllocationHandleType>(node.handle_types);
      to.alloc.poolProps.location = {static_cast<CUmemLocationType>(node.location_type), {node.location}};
      to.alloc.poolProps.maxSize = node.max_bytes;
      to.alloc.poolProps.usage = static_cast<unsigned short>(node.usage);
      if (node.access_count > kMaxNodeAccesses) return CUDA_ERROR_UNKNOWN;
      accesses_.clear();
      for (u32 i = 0; i < node.access_count; ++i) {
        const auto access = in.take<NodeAccess>();
        accesses_.push_back({{static_cast<CUmemLocationType>(access.location_type), {access.location}},
                             static_cast<CUmemAccess_flags>(access.flags)});
      }
      to.alloc.accessDescs = accesses_.empty() ? nullptr : accesses_.data();
      to.alloc.accessDescCount = accesses_.size();
      break;
    }
    case CU_GRAPH_NODE_TYPE_MEM_FREE:
      to.free.dptr = static_cast<CUdeviceptr>(in.take<FreeNode>().address);
      break;
    case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP: {
      const auto node = in.take<MemoryOperationsNode>();
      if (node.count > kMaxNodeMemoryOperations) return CUDA_ERROR_UNKNOWN;
      operations_.clear();
      for (u32 i = 0; i < node.count; ++i)
        if (!convert(in.take<protocol::MemoryOperation>(), operations_.emplace_back())) return CUDA_ERROR_UNKNOWN;
      to.memOp = {as_context(node.context), node.count, operations_.data(), node.flags};
      break;
    }
    case CU_GRAPH_NODE_TYPE_CONDITIONAL: {
      const auto node = in.take<ConditionalNode>();
      if (node.size > kMaxConditionalBodies) return CUDA_ERROR_UNKNOWN;
      bodies_.clear();
      for (u32 i = 0; i < node.size; ++i) bodies_.push_back(reinterpret_cast<CUgraph>(in.take<GraphHandle>().value));
      to.conditional = {node.condition, static_cast<CUgraphConditionalNodeType>(node.type), node.size, bodies_.data(),
                        as_context(node.context)};
      break;
    }
    default:
      return CUDA_ERROR_UNKNOWN;
  }
  return in.good() ? CUDA_SUCCESS : CUDA_ERROR_UNKNOWN;
}

CUresult NodeMemories::read(u64 node, CUgraphNodeType type, std::span<const std::byte> from, CUgraphNodeParams& to) {
  std::lock_guard lock(mutex_);
  Entry& entry = by_index_[GraphNodeHandle{node}.index()];
  if (entry.node != node) {
    entry.node = node;
    entry.memory = {};
  }
  return entry.memory.read(type, from, to);
}

}  // namespace vgpu::shim
