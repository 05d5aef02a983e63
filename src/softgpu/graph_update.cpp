#include <algorithm>
#include <unordered_map>

#include "softgpu/driver.hpp"
#include "softgpu/event.hpp"
#include "softgpu/graph_exec.hpp"

/// What cuGraphExecUpdate may change, by the limits that the CUDA driver API's documentation lists.
namespace vgpu::softgpu {
namespace {

class Compare {
 public:
  explicit Compare(const NodeWork& next) : next_(next) {}

  CUgraphExecUpdateResult operator()(const KernelNode& old) const {
    const auto& next = std::get<KernelNode>(next_);
    if (&old.function->context() != &next.function->context()) {
      return CU_GRAPH_EXEC_UPDATE_ERROR_UNSUPPORTED_FUNCTION_CHANGE;
    }
    if (old.launch.shape.cooperative != next.launch.shape.cooperative) {
      return CU_GRAPH_EXEC_UPDATE_ERROR_ATTRIBUTES_CHANGED;
    }
    return CU_GRAPH_EXEC_UPDATE_SUCCESS;
  }
  CUgraphExecUpdateResult operator()(const CopyNode& old) const {
    const auto& next = std::get<CopyNode>(next_);
    const auto& a = old.parameters;
    const auto& b = next.parameters;
    const bool same = a.srcMemoryType == b.srcMemoryType && a.dstMemoryType == b.dstMemoryType &&
                      same_device(old.copy.source, next.copy.source) &&
                      same_device(old.copy.destination, next.copy.destination);
    return same ? CU_GRAPH_EXEC_UPDATE_SUCCESS : CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED;
  }
  CUgraphExecUpdateResult operator()(const FillNode& old) const {
    const auto& next = std::get<FillNode>(next_);
    const auto& a = old.parameters;
    const auto& b = next.parameters;
    const bool flat = a.height == 1 && b.height == 1;
    const bool same =
        flat || (a.width == b.width && a.height == b.height && a.pitch == b.pitch && a.elementSize == b.elementSize);
    return same && same_device(old.fill.destination, next.fill.destination)
               ? CU_GRAPH_EXEC_UPDATE_SUCCESS
               : CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED;
  }
  CUgraphExecUpdateResult operator()(const AllocationNode& old) const {
    const auto& next = std::get<AllocationNode>(next_);
    return old.allocation == next.allocation ? CU_GRAPH_EXEC_UPDATE_SUCCESS
                                             : CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED;
  }
  CUgraphExecUpdateResult operator()(const FreeNode& old) const {
    const auto& next = std::get<FreeNode>(next_);
    return old.allocation == next.allocation ? CU_GRAPH_EXEC_UPDATE_SUCCESS
                                             : CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED;
  }
  CUgraphExecUpdateResult operator()(const ConditionalNode& old) const {
    const auto& next = std::get<ConditionalNode>(next_);
    return old.type == next.type && old.bodies.size() == next.bodies.size()
               ? CU_GRAPH_EXEC_UPDATE_SUCCESS
               : CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED;
  }
  template <class Node>
  CUgraphExecUpdateResult operator()(const Node&) const {
    return CU_GRAPH_EXEC_UPDATE_SUCCESS;
  }

 private:
  static bool same_device(const CheckedSide& a, const CheckedSide& b) {
    if (a.place != Place::device || b.place != Place::device) return a.place == b.place;
    const auto first = driver().memory.find(a.side.address);
    const auto second = driver().memory.find(b.side.address);
    return !first || !second || first->device == second->device;
  }

  const NodeWork& next_;
};

/// Pairs steps with nodes: the nodes that nothing depends on in the order of their creation, then the dependencies of
/// each pair in the order of their edges.
class Pairing {
 public:
  Pairing(const GraphPlan& plan, const Graph& graph, CUgraphExecUpdateResultInfo& info)
      : plan_(plan), graph_(graph), info_(info) {}

  bool pair() {
    if (plan_.steps.size() != graph_.nodes().size()) return false;
    std::vector<bool> needed(plan_.steps.size());
    for (const GraphStep& step : plan_.steps) {
      for (const std::uint32_t before : step.after) needed[before] = true;
    }
    std::vector<std::uint32_t> last_steps;
    for (std::uint32_t i = 0; i < needed.size(); ++i) {
      if (!needed[i]) last_steps.push_back(i);
    }
    std::vector<const GraphNode*> last_nodes;
    for (const auto& node : graph_.nodes()) {
      if (node->dependents.empty()) last_nodes.push_back(node.get());
    }
    // Steps are in an order of their own; handles grow with the creation of nodes only while none is reused, so the
    // order of the plan, in which the older comes first, decides for both.
    std::vector<GraphNode*> order;
    if (!graph_.order(order)) return false;
    std::unordered_map<const GraphNode*, std::size_t> rank;
    for (std::size_t i = 0; i < order.size(); ++i) rank[order[i]] = i;
    std::sort(last_nodes.begin(), last_nodes.end(),
              [&](const GraphNode* a, const GraphNode* b) { return rank[a] < rank[b]; });
    if (last_nodes.size() != last_steps.size()) {
      if (last_nodes.size() > last_steps.size()) info_.errorNode = last_nodes.back()->handle;
      return false;
    }
    std::vector<std::pair<std::uint32_t, const GraphNode*>> open;
    for (std::size_t i = 0; i < last_steps.size(); ++i) {
      step_of_[last_nodes[i]] = last_steps[i];
      node_of_[last_steps[i]] = last_nodes[i];
      open.emplace_back(last_steps[i], last_nodes[i]);
    }
    while (!open.empty()) {
      const auto [index, node] = open.back();
      open.pop_back();
      const GraphStep& step = plan_.steps[index];
      if (step.after.size() != node->dependencies.size()) {
        info_.errorNode = node->handle;
        return false;
      }
      for (std::size_t i = 0; i < step.after.size(); ++i) {
        const GraphNode* from = node->dependencies[i].node;
        const auto known_step = step_of_.find(from);
        const auto known_node = node_of_.find(step.after[i]);
        if (known_step == step_of_.end() && known_node == node_of_.end()) {
          step_of_[from] = step.after[i];
          node_of_[step.after[i]] = from;
          open.emplace_back(step.after[i], from);
        } else if (known_step == step_of_.end() || known_step->second != step.after[i]) {
          info_.errorNode = node->handle;
          info_.errorFromNode = from->handle;
          return false;
        }
      }
    }
    return true;
  }

  const GraphNode& node_of(std::uint32_t step) const { return *node_of_.at(step); }

 private:
  const GraphPlan& plan_;
  const Graph& graph_;
  CUgraphExecUpdateResultInfo& info_;
  std::unordered_map<const GraphNode*, std::uint32_t> step_of_;
  std::unordered_map<std::uint32_t, const GraphNode*> node_of_;
};

}  // namespace

CUgraphExecUpdateResult compatible(const NodeWork& old_work, const NodeWork& new_work) {
  if (old_work.index() != new_work.index()) return CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED;
  return std::visit(Compare(new_work), old_work);
}

CUgraphExecUpdateResult update_plan(GraphPlan& plan, const Graph& graph, CUgraphExecUpdateResultInfo& info) {
  Pairing pairing(plan, graph, info);
  if (!pairing.pair()) return CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
  for (std::uint32_t i = 0; i < plan.steps.size(); ++i) {
    GraphStep& step = plan.steps[i];
    const GraphNode& node = pairing.node_of(i);
    CUgraphExecUpdateResult result = compatible(*step.work, *node.work);
    const auto children = Graph::children(node);
    for (std::size_t c = 0; c < children.size() && result == CU_GRAPH_EXEC_UPDATE_SUCCESS; ++c) {
      result = update_plan(step.children[c], *children[c], info);
      if (result != CU_GRAPH_EXEC_UPDATE_SUCCESS && info.errorNode != nullptr) return result;
    }
    if (result != CU_GRAPH_EXEC_UPDATE_SUCCESS) {
      info.errorNode = node.handle;
      return result;
    }
    // A conditional node keeps its condition: kernels that were updated know the graph's own.
    step.work = node.work;
  }
  plan.conditions = graph.conditions;
  return CU_GRAPH_EXEC_UPDATE_SUCCESS;
}

}  // namespace vgpu::softgpu
