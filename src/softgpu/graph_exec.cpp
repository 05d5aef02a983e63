#include "softgpu/graph_exec.hpp"

#include <algorithm>
#include <unordered_map>

#include "softgpu/driver.hpp"
#include "softgpu/event.hpp"
#include "softgpu/graph_memory.hpp"
#include "softgpu/log.hpp"
#include "softgpu/user_object.hpp"

namespace vgpu::softgpu {
namespace {

constexpr cuuint64_t kFlags = CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH | CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD |
                              CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH | CUDA_GRAPH_INSTANTIATE_FLAG_USE_NODE_PRIORITY;

template <class Then>
void for_each_step(const GraphPlan& plan, const Then& then) {
  for (const GraphStep& step : plan.steps) {
    then(step);
    for (const GraphPlan& child : step.children) for_each_step(child, then);
  }
}

const GraphStep* find_step(const GraphPlan& plan, CUgraphNode node) {
  for (const GraphStep& step : plan.steps) {
    if (step.node == node) return &step;
    for (const GraphPlan& child : step.children) {
      if (const GraphStep* found = find_step(child, node); found != nullptr) return found;
    }
  }
  return nullptr;
}

/// Handles of the graph, or of a child graph, that no node has.
bool has_unused_condition(const Graph& graph) {
  if (std::any_of(graph.conditions.begin(), graph.conditions.end(), [](const Condition& it) { return !it.used; })) {
    return true;
  }
  return std::any_of(graph.nodes().begin(), graph.nodes().end(), [](const std::shared_ptr<GraphNode>& node) {
    const auto children = Graph::children(*node);
    return std::any_of(children.begin(), children.end(),
                       [](const auto& child) { return has_unused_condition(*child); });
  });
}

/// The memory that a launch of the plan allocates and frees, as its calls' order counts it.
struct MemoryUse {
  std::vector<std::shared_ptr<GraphAllocation>> allocated;
  std::vector<std::shared_ptr<GraphAllocation>> freed;
};

MemoryUse memory_use(const GraphPlan& plan) {
  MemoryUse use;
  for_each_step(plan, [&](const GraphStep& step) {
    if (const auto* allocation = std::get_if<AllocationNode>(step.work.get())) {
      use.allocated.push_back(allocation->allocation);
    } else if (const auto* freed = std::get_if<FreeNode>(step.work.get())) {
      use.freed.push_back(freed->allocation);
    }
  });
  return use;
}

}  // namespace

GraphExec::GraphExec(std::shared_ptr<GraphPlan> plan, cuuint64_t flags) : plan_(std::move(plan)), flags_(flags) {}

GraphExec::~GraphExec() {
  if (const auto source = source_.lock()) --source->instances;
  for (const auto& [object, count] : user_objects_) object->release(count);
}

CUresult GraphExec::create(Graph& graph, cuuint64_t flags, std::shared_ptr<GraphExec>& made, Failure& failure) {
  failure = {CUDA_GRAPH_INSTANTIATE_ERROR, nullptr};
  if ((flags & ~kFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
  if (graph.owned || graph.capturing) return CUDA_ERROR_INVALID_VALUE;
  if ((flags & CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH) != 0) {
    if ((flags & CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH) != 0) return CUDA_ERROR_INVALID_VALUE;
    log(LogLevel::error, "graph refused reason=\"launch from the device is not supported\"");
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  const bool single = graph.has<AllocationNode>() || graph.has<FreeNode>() || graph.has<ConditionalNode>();
  if (single && graph.instances != 0) return CUDA_ERROR_NOT_SUPPORTED;
  if (has_unused_condition(graph)) {
    failure.result = CUDA_GRAPH_INSTANTIATE_CONDITIONAL_HANDLE_UNUSED;
    return CUDA_ERROR_INVALID_VALUE;
  }
  auto plan = std::make_shared<GraphPlan>();
  GraphNode* offender = nullptr;
  if (!make_plan(graph, *plan, &offender)) {
    failure = {CUDA_GRAPH_INSTANTIATE_INVALID_STRUCTURE, offender != nullptr ? offender->handle : nullptr};
    return CUDA_ERROR_INVALID_VALUE;
  }
  made = std::make_shared<GraphExec>(std::move(plan), flags);
  made->source_ = graph.weak_from_this();
  ++graph.instances;
  made->hold(graph);
  made->handle = driver().graph_execs.insert(made);
  failure = {};
  return CUDA_SUCCESS;
}

void GraphExec::hold(const Graph& graph) {
  for (const auto& [object, count] : graph.user_objects) {
    object->retain(count);
    user_objects_.emplace_back(object, count);
  }
}

CUresult GraphExec::launch(Stream& stream) {
  const MemoryUse use = memory_use(*plan_);
  const bool auto_free = (flags_ & CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH) != 0;
  for (const auto& it : use.allocated) {
    if (it->live() && !auto_free) return CUDA_ERROR_INVALID_VALUE;
  }
  for (const auto& it : use.freed) {
    const bool own = std::find(use.allocated.begin(), use.allocated.end(), it) != use.allocated.end();
    if (!own && !it->live()) return CUDA_ERROR_INVALID_VALUE;
  }
  for (const auto& it : use.allocated) it->set_live(true);
  for (const auto& it : use.freed) it->set_live(false);
  GraphWaits waits;
  for_each_step(*plan_, [&](const GraphStep& step) {
    const auto* node = std::get_if<EventWaitNode>(step.work.get());
    if (node != nullptr) waits.emplace_back(step.work.get(), node->event->point());
  });
  for_each_step(*plan_, [](const GraphStep& step) {
    const auto* node = std::get_if<EventRecordNode>(step.work.get());
    if (node != nullptr) node->event->expect(*node->recordings);
  });
  const std::uint64_t sequence = stream.submit(
      [plan = std::shared_ptr<const GraphPlan>(plan_), waits = std::move(waits)] { run_plan(*plan, waits); }, last_);
  last_ = Point{stream.shared_from_this(), sequence};
  return CUDA_SUCCESS;
}

std::shared_ptr<Graph> GraphExec::to_graph() const {
  const auto convert = [](const auto& self, const GraphPlan& plan) -> std::shared_ptr<Graph> {
    auto graph = Graph::create();
    std::vector<GraphNode*> made;
    for (const GraphStep& step : plan.steps) {
      SharedWork work = step.work;
      if (const auto* child = std::get_if<ChildNode>(work.get())) {
        auto inner = self(self, step.children[0]);
        inner->owned = true;
        work = share(ChildNode{std::move(inner), child->ownership});
      }
      std::vector<GraphEdge> dependencies;
      for (std::size_t i = 0; i < step.after.size(); ++i) dependencies.push_back({made[step.after[i]], step.edges[i]});
      made.push_back(&graph->add(std::move(work), dependencies));
    }
    return graph;
  };
  return convert(convert, *plan_);
}

const GraphStep* GraphExec::find(CUgraphNode node) const { return find_step(*plan_, node); }

GraphPlan& GraphExec::writable() {
  // A launch that has not run keeps the parameters that it was launched with.
  if (plan_.use_count() > 1) plan_ = std::make_shared<GraphPlan>(*plan_);
  return *plan_;
}

CUresult GraphExec::replace(CUgraphNode node, SharedWork work) {
  const GraphStep* step = find(node);
  if (step == nullptr || compatible(*step->work, *work) != CU_GRAPH_EXEC_UPDATE_SUCCESS) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const_cast<GraphStep*>(find_step(writable(), node))->work = std::move(work);
  return CUDA_SUCCESS;
}

CUresult GraphExec::replace_child(CUgraphNode node, Graph& graph) {
  const GraphStep* step = find(node);
  if (step == nullptr || std::get_if<ChildNode>(step->work.get()) == nullptr) return CUDA_ERROR_INVALID_VALUE;
  GraphPlan changed = step->children[0];
  CUgraphExecUpdateResultInfo info{};
  if (update_plan(changed, graph, info) != CU_GRAPH_EXEC_UPDATE_SUCCESS) return CUDA_ERROR_INVALID_VALUE;
  const_cast<GraphStep*>(find_step(writable(), node))->children[0] = std::move(changed);
  hold(graph);
  return CUDA_SUCCESS;
}

CUresult GraphExec::set_enabled(CUgraphNode node, bool enabled) {
  const GraphStep* step = find(node);
  if (step == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const CUgraphNodeType type = type_of(*step->work);
  if (type != CU_GRAPH_NODE_TYPE_KERNEL && type != CU_GRAPH_NODE_TYPE_MEMCPY && type != CU_GRAPH_NODE_TYPE_MEMSET) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const_cast<GraphStep*>(find_step(writable(), node))->enabled = enabled;
  return CUDA_SUCCESS;
}

CUresult GraphExec::update(const Graph& graph, CUgraphExecUpdateResultInfo& info) {
  GraphPlan changed = *plan_;
  info = {CU_GRAPH_EXEC_UPDATE_SUCCESS, nullptr, nullptr};
  info.result = update_plan(changed, graph, info);
  if (info.result != CU_GRAPH_EXEC_UPDATE_SUCCESS) return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
  plan_ = std::make_shared<GraphPlan>(std::move(changed));
  hold(graph);
  return CUDA_SUCCESS;
}

}  // namespace vgpu::softgpu
