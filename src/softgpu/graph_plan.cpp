#include <unordered_map>

#include "softgpu/conditional.hpp"
#include "softgpu/driver.hpp"
#include "softgpu/event.hpp"
#include "softgpu/graph_exec.hpp"

namespace vgpu::softgpu {
namespace {

/// What each kind of node does when its turn comes.
class Runner {
 public:
  Runner(const GraphStep& step, const GraphWaits& waits) : step_(step), waits_(waits) {}

  void operator()(const EmptyNode&) const noexcept {}
  void operator()(const KernelNode& node) const { node.launch(); }
  void operator()(const CopyNode& node) const { node.copy(); }
  void operator()(const FillNode& node) const { node.fill(); }
  void operator()(const HostNode& node) const { node.call(); }
  void operator()(const ChildNode&) const { run_plan(step_.children[0], waits_); }
  void operator()(const EventRecordNode& node) const { node.event->reach(*node.recordings); }
  void operator()(const EventWaitNode&) const {
    for (const auto& [work, point] : waits_) {
      if (work == step_.work.get()) point.wait();
    }
  }
  void operator()(const AllocationNode&) const noexcept {}  // counted at the launch
  void operator()(const FreeNode&) const noexcept {}
  void operator()(const MemoryOperationsNode& node) const { node.operations(); }
  void operator()(const ConditionalNode& node) const {
    const auto value = [&] { return condition_value(node.condition); };
    const std::size_t bodies = step_.children.size();
    switch (node.type) {
      case CU_GRAPH_COND_TYPE_IF:
        if (value() != 0) {
          run_plan(step_.children[0], waits_);
        } else if (bodies == 2) {
          run_plan(step_.children[1], waits_);
        }
        break;
      case CU_GRAPH_COND_TYPE_WHILE:
        while (value() != 0 && driver().fault() == CUDA_SUCCESS) run_plan(step_.children[0], waits_);
        break;
      case CU_GRAPH_COND_TYPE_SWITCH:
        if (const std::uint32_t which = value(); which < bodies) run_plan(step_.children[which], waits_);
        break;
    }
  }

 private:
  const GraphStep& step_;
  const GraphWaits& waits_;
};

}  // namespace

bool make_plan(const Graph& graph, GraphPlan& plan, GraphNode** offender) {
  std::vector<GraphNode*> order;
  if (!graph.order(order, offender)) return false;
  std::unordered_map<const GraphNode*, std::uint32_t> position;
  plan.conditions = graph.conditions;
  plan.steps.clear();
  plan.steps.reserve(order.size());
  for (const GraphNode* node : order) {
    position[node] = static_cast<std::uint32_t>(plan.steps.size());
    GraphStep& step = plan.steps.emplace_back();
    step.node = node->handle;
    step.work = node->work;
    for (const GraphEdge& edge : node->dependencies) {
      step.after.push_back(position[edge.node]);
      step.edges.push_back(edge.data);
    }
    for (const auto& child : Graph::children(*node)) {
      if (!make_plan(*child, step.children.emplace_back(), offender)) return false;
    }
  }
  return true;
}

void run_plan(const GraphPlan& plan, const GraphWaits& waits) noexcept {
  for (const Condition& it : plan.conditions) {
    if (it.assign_default) set_condition(it.handle, it.default_value);
  }
  for (const GraphStep& step : plan.steps) {
    if (step.enabled) std::visit(Runner(step, waits), *step.work);
  }
}

}  // namespace vgpu::softgpu
