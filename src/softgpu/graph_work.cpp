#include <algorithm>
#include <cstring>

#include "softgpu/conditional.hpp"
#include "softgpu/copy_side.hpp"
#include "softgpu/event.hpp"
#include "softgpu/graph.hpp"
#include "softgpu/graph_memory.hpp"
#include "softgpu/guard.hpp"
#include "softgpu/library.hpp"
#include "softgpu/log.hpp"

/// Parameters of nodes, as the program gives and gets them.
namespace vgpu::softgpu {
namespace {

/// The context that parameters name, else the current one; null if there is none.
std::shared_ptr<Context> context_of(CUcontext handle) {
  if (handle != nullptr) return driver().contexts.find(handle);
  const auto& stack = context_stack();
  return stack.empty() ? nullptr : stack.back();
}

bool cooperative_of(const std::vector<CUlaunchAttribute>& attributes) {
  return std::any_of(attributes.begin(), attributes.end(), [](const CUlaunchAttribute& it) {
    return it.id == CU_LAUNCH_ATTRIBUTE_COOPERATIVE && it.value.cooperative != 0;
  });
}

CUresult make_kernel(const CUDA_KERNEL_NODE_PARAMS_v3& from, SharedWork& work) {
  if (from.func == nullptr && from.kern == nullptr) return CUDA_ERROR_INVALID_VALUE;
  // As cuda.h has it, `kern` is only looked at without `func`, and `ctx` is ignored with it: the runtime gives all
  // three.
  const auto context = context_of(from.func != nullptr ? nullptr : from.ctx);
  if (context == nullptr || !context->active()) return CUDA_ERROR_INVALID_CONTEXT;
  std::shared_ptr<Function> function;
  if (from.func == nullptr) {
    const auto kernel = driver().kernels.find(from.kern);
    if (kernel == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (const CUresult error = kernel->function_in(*context, function); error != CUDA_SUCCESS) return error;
  } else if (const CUresult error = find_function(*context, from.func, function); error != CUDA_SUCCESS) {
    return error;
  }
  const LaunchShape shape{{from.gridDimX, from.gridDimY, from.gridDimZ},
                          {from.blockDimX, from.blockDimY, from.blockDimZ},
                          from.sharedMemBytes,
                          false};
  std::optional<KernelLaunch> launch;
  if (const CUresult error = prepare_launch(*function, shape, from.kernelParams, from.extra, launch);
      error != CUDA_SUCCESS) {
    return error;
  }
  work = share(KernelNode{from.func, from.kern, std::move(function), std::move(*launch), {}});
  return CUDA_SUCCESS;
}

CUresult make_copy(const CUDA_MEMCPY_NODE_PARAMS& from, SharedWork& work) {
  if (from.flags != 0 || from.reserved != 0) return CUDA_ERROR_INVALID_VALUE;
  CopyNode node{from.copyParams, from.copyCtx, {}};
  if (const CUresult error = prepare_copy(node.parameters, node.copy); error != CUDA_SUCCESS) return error;
  work = share(std::move(node));
  return CUDA_SUCCESS;
}

CUresult make_fill(const CUDA_MEMSET_NODE_PARAMS_v2& from, SharedWork& work) {
  if (from.elementSize != 1 && from.elementSize != 2 && from.elementSize != 4) return CUDA_ERROR_INVALID_VALUE;
  if (from.width == 0 || from.height == 0) return CUDA_ERROR_INVALID_VALUE;
  FillNode node{{from.dst, from.pitch, from.value, from.elementSize, from.width, from.height}, from.ctx, {}};
  if (const CUresult error =
          prepare_fill(from.dst, from.pitch, from.value, from.elementSize, {from.width, from.height, 1}, node.fill);
      error != CUDA_SUCCESS) {
    return error;
  }
  work = share(std::move(node));
  return CUDA_SUCCESS;
}

CUresult make_child(const CUDA_CHILD_GRAPH_NODE_PARAMS& from, Graph& parent, SharedWork& work) {
  const auto graph = driver().graphs.find(from.graph);
  if (graph == nullptr || graph.get() == &parent || graph->capturing) return CUDA_ERROR_INVALID_VALUE;
  if (from.ownership == CU_GRAPH_CHILD_GRAPH_OWNERSHIP_MOVE) {
    if (graph->owned || graph->instances != 0 || graph->has<ConditionalNode>()) return CUDA_ERROR_INVALID_VALUE;
    graph->owned = graph->moved = true;
    work = share(ChildNode{graph, from.ownership});
    return CUDA_SUCCESS;
  }
  if (from.ownership != CU_GRAPH_CHILD_GRAPH_OWNERSHIP_CLONE) return CUDA_ERROR_INVALID_VALUE;
  std::shared_ptr<Graph> copy;
  if (const CUresult error = graph->clone(copy); error != CUDA_SUCCESS) return error;
  copy->owned = true;
  work = share(ChildNode{std::move(copy), from.ownership});
  return CUDA_SUCCESS;
}

template <class Node>
CUresult make_event(CUevent handle, SharedWork& work) {
  Node node;
  node.handle = handle;
  node.event = driver().events.find(handle);
  if (node.event == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if constexpr (std::is_same_v<Node, EventRecordNode>) {
    node.recordings = std::make_shared<Stream>(node.event->context(), StreamKind::non_blocking, 0);
  }
  work = share(std::move(node));
  return CUDA_SUCCESS;
}

CUresult make_allocation(CUDA_MEM_ALLOC_NODE_PARAMS_v2& from, Graph& graph, SharedWork& work) {
  if (graph.moved || graph.body) return CUDA_ERROR_NOT_SUPPORTED;
  if (from.bytesize == 0 || from.poolProps.allocType != CU_MEM_ALLOCATION_TYPE_PINNED) return CUDA_ERROR_INVALID_VALUE;
  if (from.poolProps.handleTypes != CU_MEM_HANDLE_TYPE_NONE) return CUDA_ERROR_NOT_SUPPORTED;
  if (from.poolProps.location.type != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_NOT_SUPPORTED;
  if (const CUresult error = check_device(from.poolProps.location.id); error != CUDA_SUCCESS) return error;
  if (from.accessDescCount > driver().devices().size() || (from.accessDescCount != 0 && from.accessDescs == nullptr)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const auto context = driver().device(from.poolProps.location.id).primary;
  const auto current = context_of(nullptr);
  Context& owner = current != nullptr && &current->device() == &context->device() ? *current : *context;
  AllocationNode node;
  node.allocation = GraphAllocation::create(owner, from.bytesize);
  if (node.allocation == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
  node.access.assign(from.accessDescs, from.accessDescs + from.accessDescCount);
  from.dptr = node.allocation->address();
  node.parameters.poolProps = from.poolProps;
  node.parameters.accessDescs = nullptr;
  node.parameters.accessDescCount = from.accessDescCount;
  node.parameters.bytesize = from.bytesize;
  node.parameters.dptr = from.dptr;
  work = share(std::move(node));
  return CUDA_SUCCESS;
}

CUresult make_free(CUdeviceptr address, Graph& graph, SharedWork& work) {
  if (graph.moved || graph.body) return CUDA_ERROR_NOT_SUPPORTED;
  auto allocation = GraphAllocation::find(address);
  if (allocation == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const auto touches = [&](const std::shared_ptr<GraphNode>& node) {
    const auto* made = node->as<AllocationNode>();
    return made != nullptr && made->allocation == allocation;
  };
  const auto frees = [&](const std::shared_ptr<GraphNode>& node) {
    const auto* freed = node->as<FreeNode>();
    return freed != nullptr && freed->allocation == allocation;
  };
  const bool own = std::any_of(graph.nodes().begin(), graph.nodes().end(), touches);
  if (allocation->freed_in_graph || std::any_of(graph.nodes().begin(), graph.nodes().end(), frees)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (own && allocation->freed_elsewhere) return CUDA_ERROR_INVALID_VALUE;
  (own ? allocation->freed_in_graph : allocation->freed_elsewhere) = true;
  work = share(FreeNode{std::move(allocation)});
  return CUDA_SUCCESS;
}

CUresult make_operations(const CUDA_BATCH_MEM_OP_NODE_PARAMS_v2& from, SharedWork& work) {
  if (from.flags != 0) return CUDA_ERROR_INVALID_VALUE;
  if (context_of(from.ctx) == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
  MemoryOperationsNode node{from.ctx, from.flags, {}};
  if (const CUresult error = MemoryOperations::prepare(from.paramArray, from.count, node.operations);
      error != CUDA_SUCCESS) {
    return error;
  }
  work = share(std::move(node));
  return CUDA_SUCCESS;
}

/// A node's handle belongs to its graph or to one that its graph is part of: it is looked for in all of them.
Condition* find_condition(CUgraphConditionalHandle handle) {
  for (const auto& graph : driver().graphs.all()) {
    for (Condition& it : graph->conditions) {
      if (it.handle == handle) return &it;
    }
  }
  return nullptr;
}

CUresult make_conditional(CUDA_CONDITIONAL_NODE_PARAMS& from, SharedWork& work) {
  Condition* condition = find_condition(from.handle);
  if (condition == nullptr || condition->used) return CUDA_ERROR_INVALID_VALUE;
  constexpr unsigned kMostBodies = 1u << 16;
  const bool good_size = from.type == CU_GRAPH_COND_TYPE_IF       ? from.size == 1 || from.size == 2
                         : from.type == CU_GRAPH_COND_TYPE_WHILE  ? from.size == 1
                         : from.type == CU_GRAPH_COND_TYPE_SWITCH ? from.size != 0 && from.size <= kMostBodies
                                                                  : false;
  if (!good_size) return CUDA_ERROR_INVALID_VALUE;
  ConditionalNode node{from.handle, from.type, from.ctx, {}, {}};
  for (unsigned i = 0; i < from.size; ++i) {
    auto body = Graph::create();
    body->owned = body->body = true;
    node.handles.push_back(body->handle);
    node.bodies.push_back(std::move(body));
  }
  condition->used = true;
  work = share(std::move(node));
  from.phGraph_out = const_cast<CUgraph*>(std::get<ConditionalNode>(*work).handles.data());
  return CUDA_SUCCESS;
}

void read_kernel(const KernelNode& node, CUDA_KERNEL_NODE_PARAMS_v3& to) {
  const LaunchShape& shape = node.launch.shape;
  to = {};
  to.func = node.handle;
  to.kern = node.kernel;
  to.gridDimX = shape.grid.x;
  to.gridDimY = shape.grid.y;
  to.gridDimZ = shape.grid.z;
  to.blockDimX = shape.block.x;
  to.blockDimY = shape.block.y;
  to.blockDimZ = shape.block.z;
  to.sharedMemBytes = shape.dynamic_shared;
  to.kernelParams = node.pointers.empty() ? nullptr : const_cast<void**>(node.pointers.data());
  to.ctx = node.function->context().handle;
}

}  // namespace

SharedWork share(KernelNode&& node) {
  auto work = std::make_shared<NodeWork>(std::move(node));
  auto& kernel = std::get<KernelNode>(*work);
  kernel.pointers.clear();
  for (const ptx::Parameter& it : kernel.function->info().parameters) {
    kernel.pointers.push_back(kernel.launch.parameters.data() + it.offset);
  }
  return work;
}

CUresult make_work(CUgraphNodeParams& from, Graph& graph, SharedWork& work) {
  if (from.reserved0[0] != 0 || from.reserved0[1] != 0 || from.reserved0[2] != 0 || from.reserved2 != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  switch (from.type) {
    case CU_GRAPH_NODE_TYPE_KERNEL:
      return make_kernel(from.kernel, work);
    case CU_GRAPH_NODE_TYPE_MEMCPY:
      return make_copy(from.memcpy, work);
    case CU_GRAPH_NODE_TYPE_MEMSET:
      return make_fill(from.memset, work);
    case CU_GRAPH_NODE_TYPE_HOST:
      if (from.host.fn == nullptr) return CUDA_ERROR_INVALID_VALUE;
      work = share(HostNode{{from.host.fn, from.host.userData}});
      return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_GRAPH:
      return make_child(from.graph, graph, work);
    case CU_GRAPH_NODE_TYPE_EMPTY:
      work = share(EmptyNode{});
      return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
      return make_event<EventWaitNode>(from.eventWait.event, work);
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
      return make_event<EventRecordNode>(from.eventRecord.event, work);
    case CU_GRAPH_NODE_TYPE_MEM_ALLOC:
      return make_allocation(from.alloc, graph, work);
    case CU_GRAPH_NODE_TYPE_MEM_FREE:
      return make_free(from.free.dptr, graph, work);
    case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
      return make_operations(from.memOp, work);
    case CU_GRAPH_NODE_TYPE_CONDITIONAL:
      return make_conditional(from.conditional, work);
    case CU_GRAPH_NODE_TYPE_EXT_SEMAS_SIGNAL:
    case CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT:
      log(LogLevel::error, "graph node refused reason=\"external semaphores are not supported\" type={}",
          static_cast<int>(from.type));
      return CUDA_ERROR_NOT_SUPPORTED;
  }
  return CUDA_ERROR_INVALID_VALUE;
}

void read_work(const NodeWork& work, CUgraphNodeParams& to) {
  to = {};
  to.type = type_of(work);
  if (const auto* kernel = std::get_if<KernelNode>(&work)) {
    read_kernel(*kernel, to.kernel);
  } else if (const auto* copy = std::get_if<CopyNode>(&work)) {
    to.memcpy = {};
    to.memcpy.copyParams = copy->parameters;
    to.memcpy.copyCtx = copy->context;
  } else if (const auto* fill = std::get_if<FillNode>(&work)) {
    const auto& p = fill->parameters;
    to.memset = {p.dst, p.pitch, p.value, p.elementSize, p.width, p.height, fill->context};
  } else if (const auto* host = std::get_if<HostNode>(&work)) {
    to.host = {host->call.function, host->call.data};
  } else if (const auto* child = std::get_if<ChildNode>(&work)) {
    to.graph = {child->graph->handle, child->ownership};
  } else if (const auto* record = std::get_if<EventRecordNode>(&work)) {
    to.eventRecord.event = record->handle;
  } else if (const auto* wait = std::get_if<EventWaitNode>(&work)) {
    to.eventWait.event = wait->handle;
  } else if (const auto* allocation = std::get_if<AllocationNode>(&work)) {
    const auto& p = allocation->parameters;
    to.alloc = {p.poolProps, allocation->access.empty() ? nullptr : allocation->access.data(), p.accessDescCount,
                p.bytesize, p.dptr};
  } else if (const auto* freed = std::get_if<FreeNode>(&work)) {
    to.free.dptr = freed->allocation->address();
  } else if (const auto* operations = std::get_if<MemoryOperationsNode>(&work)) {
    const auto& list = operations->operations.list();
    to.memOp = {operations->context, static_cast<unsigned>(list.size()),
                const_cast<CUstreamBatchMemOpParams*>(list.data()), operations->flags};
  } else if (const auto* conditional = std::get_if<ConditionalNode>(&work)) {
    to.conditional = {conditional->condition, conditional->type, static_cast<unsigned>(conditional->bodies.size()),
                      const_cast<CUgraph*>(conditional->handles.data()), conditional->context};
  }
}

CUresult with_attribute(const KernelNode& node, CUlaunchAttributeID id, const CUlaunchAttributeValue& value,
                        SharedWork& work) {
  CUlaunchAttribute attribute{};
  attribute.id = id;
  attribute.value = value;
  LaunchShape shape = node.launch.shape;
  if (const CUresult error = read_launch_attributes(&attribute, 1, shape); error != CUDA_SUCCESS) return error;
  KernelNode changed = node;
  std::erase_if(changed.attributes, [&](const CUlaunchAttribute& it) { return it.id == id; });
  changed.attributes.push_back(attribute);
  shape.cooperative = cooperative_of(changed.attributes);
  if (const CUresult error = check_launch_shape(*node.function, shape); error != CUDA_SUCCESS) return error;
  changed.launch.shape = shape;
  work = share(std::move(changed));
  return CUDA_SUCCESS;
}

}  // namespace vgpu::softgpu
