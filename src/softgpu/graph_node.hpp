#pragma once
#include <memory>
#include <variant>
#include <vector>

#include "softgpu/copy.hpp"
#include "softgpu/driver_api.hpp"
#include "softgpu/host_call.hpp"
#include "softgpu/kernel_launch.hpp"
#include "softgpu/memory_operations.hpp"

namespace vgpu::softgpu {

class Event;
class Graph;
class GraphAllocation;

/// What the nodes of a graph do, one type for each kind of node: values that were checked when they were made, with
/// copies of all parameters. They never change: setting a node's parameters gives it another value.
struct EmptyNode {};
struct KernelNode {
  CUfunction handle = nullptr;  ///< null for a kernel of a library
  CUkernel kernel = nullptr;
  std::shared_ptr<Function> function;
  KernelLaunch launch;
  std::vector<CUlaunchAttribute> attributes;  ///< each id at most once
  std::vector<void*> pointers{};              ///< to each parameter in `launch`: what the program gets when it asks
};
struct CopyNode {
  CUDA_MEMCPY3D parameters;
  CUcontext context = nullptr;
  Copy copy;
};
struct FillNode {
  CUDA_MEMSET_NODE_PARAMS parameters;
  CUcontext context = nullptr;
  Fill fill;
};
struct HostNode {
  HostCall call;
};
struct ChildNode {
  std::shared_ptr<Graph> graph;
  CUgraphChildGraphNodeOwnership ownership = CU_GRAPH_CHILD_GRAPH_OWNERSHIP_CLONE;
};
struct EventRecordNode {
  CUevent handle = nullptr;
  std::shared_ptr<Event> event;
  /// Counts the recordings of this node as a stream counts its work: what waits for the event waits for those.
  std::shared_ptr<Stream> recordings;
};
struct EventWaitNode {
  CUevent handle = nullptr;
  std::shared_ptr<Event> event;
};
struct AllocationNode {
  CUDA_MEM_ALLOC_NODE_PARAMS parameters;
  std::vector<CUmemAccessDesc> access;
  std::shared_ptr<GraphAllocation> allocation;
};
struct FreeNode {
  std::shared_ptr<GraphAllocation> allocation;
};
struct MemoryOperationsNode {
  CUcontext context = nullptr;
  unsigned flags = 0;
  MemoryOperations operations;
};
struct ConditionalNode {
  CUgraphConditionalHandle condition = 0;
  CUgraphConditionalNodeType type = CU_GRAPH_COND_TYPE_IF;
  CUcontext context = nullptr;
  std::vector<std::shared_ptr<Graph>> bodies;
  std::vector<CUgraph> handles;  ///< of the bodies: the program gets a pointer to them
};

using NodeWork = std::variant<EmptyNode, KernelNode, CopyNode, FillNode, HostNode, ChildNode, EventRecordNode,
                              EventWaitNode, AllocationNode, FreeNode, MemoryOperationsNode, ConditionalNode>;
using SharedWork = std::shared_ptr<const NodeWork>;

template <class Node>
SharedWork share(Node node) {
  return std::make_shared<const NodeWork>(std::move(node));
}

/// The same, and makes the pointers to the parameters.
SharedWork share(KernelNode&& node);

CUgraphNodeType type_of(const NodeWork& work) noexcept;

}  // namespace vgpu::softgpu
