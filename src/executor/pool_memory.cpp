#include "executor/pool_memory.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

/// Pools take memory from the device in blocks of so much.
constexpr u64 kBlock = u64{32} << 20;

}  // namespace

CUresult PoolAllocation::reserve(u64 bytes) {
  DeviceMemory& memory = in_.session.memory;
  if (in_.session.captures.captures(in_.cuda, stream_)) {
    captured_ = true;
    CUdevice device = 0;
    if (in_.cuda.cuCtxGetDevice(&device) == CUDA_SUCCESS) memory.watch_graphs_of(device);
    auto charge = memory.reserve_for_node(bytes);
    if (!charge) return CUDA_ERROR_OUT_OF_MEMORY;
    charge_ = *std::move(charge);
    return CUDA_SUCCESS;
  }
  memory.watch(pool_);
  const u64 blocks = bytes < (u64{1} << 60) ? (bytes + kBlock - 1) / kBlock * kBlock : bytes;
  if (auto charge = memory.try_reserve(blocks)) {
    charge_ = *std::move(charge);
    return CUDA_SUCCESS;
  }
  if (in_.on_worker) return reserve_after_waiting(bytes);
  in_.wants_worker = true;
  return CUDA_SUCCESS;
}

CUresult PoolAllocation::reserve_after_waiting(u64 bytes) {
  DeviceMemory& memory = in_.session.memory;
  const u64 most = in_.session.account.limit(Limit::memory);
  if (most == 0 || bytes > most) return memory.refuse();
  if (const CUresult result = in_.session.synchronize(in_.header.context); result != CUDA_SUCCESS) return result;
  tight_ = true;
  // What the pool has and does not use needs no more from the device.
  if (memory.has_room(pool_, DeviceMemory::rounded(bytes))) return CUDA_SUCCESS;
  memory.trim_pools();
  auto charge = memory.reserve(bytes);
  if (!charge) return CUDA_ERROR_OUT_OF_MEMORY;
  charge_ = *std::move(charge);
  return CUDA_SUCCESS;
}

CUresult PoolAllocation::settle(CUresult result, CUdeviceptr pointer) {
  DeviceMemory& memory = in_.session.memory;
  if (captured_) {
    memory.settle_graph(std::move(charge_));
    return result;
  }
  memory.settle(pool_, std::move(charge_));
  const Account& account = in_.session.account;
  const u64 most = account.limit(Limit::memory);
  if (result != CUDA_SUCCESS || !tight_ || most == 0 || account.used(Limit::memory) <= most) return result;
  // The pool took more than was asked for. Its streams were idle a moment ago, so that this is soon undone.
  in_.cuda.cuMemFreeAsync(pointer, stream_);
  in_.cuda.cuStreamSynchronize(stream_);
  memory.trim_pools();
  return memory.refuse();
}

u64 graph_allocation_bytes(const Driver& cuda, CUgraph graph) {
  std::size_t count = 0;
  if (cuda.cuGraphGetNodes(graph, nullptr, &count) != CUDA_SUCCESS || count == 0) return 0;
  std::vector<CUgraphNode> nodes(count);
  if (cuda.cuGraphGetNodes(graph, nodes.data(), &count) != CUDA_SUCCESS) return 0;
  nodes.resize(count);
  u64 bytes = 0;
  for (CUgraphNode node : nodes) {
    CUgraphNodeType type{};
    if (cuda.cuGraphNodeGetType(node, &type) != CUDA_SUCCESS) continue;
    CUgraph child = nullptr;
    CUDA_MEM_ALLOC_NODE_PARAMS parameters{};
    if (type == CU_GRAPH_NODE_TYPE_GRAPH && cuda.cuGraphChildGraphNodeGetGraph(node, &child) == CUDA_SUCCESS)
      bytes += graph_allocation_bytes(cuda, child);
    if (type == CU_GRAPH_NODE_TYPE_MEM_ALLOC && cuda.cuGraphMemAllocNodeGetParams(node, &parameters) == CUDA_SUCCESS)
      bytes += DeviceMemory::rounded(parameters.bytesize);
  }
  return bytes;
}

}  // namespace vgpu::executor
