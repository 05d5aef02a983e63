#include "executor/graphs.hpp"

namespace vgpu::executor {

using namespace protocol;

Graphs::Graph* Graphs::find(GraphHandle handle) {
  const auto found = graphs_.find(handle.index());
  return found != graphs_.end() && found->second.handle.value == handle.value ? &found->second : nullptr;
}

const Graphs::Node* Graphs::find(GraphNodeHandle handle) const {
  const auto found = nodes_.find(handle.index());
  return found != nodes_.end() && found->second.handle.value == handle.value ? &found->second : nullptr;
}

GraphHandle Graphs::make(CUgraph native, GraphNodeHandle owner) {
  const GraphHandle handle = graph_handles_.mint();
  if (handle.value == 0) return handle;
  if (!handles_.put(handle, native)) {
    graph_handles_.give(handle);
    return {0};
  }
  graphs_[handle.index()] = {handle, native, owner, {}, {}};
  by_native_[native] = handle;
  return handle;
}

GraphHandle Graphs::add(CUgraph native) {
  std::lock_guard lock(mutex_);
  const auto known = by_native_.find(native);
  return known != by_native_.end() ? known->second : make(native, {0});
}

GraphHandle Graphs::child(GraphNodeHandle node_handle, CUgraph native) {
  std::lock_guard lock(mutex_);
  Node* node = find(node_handle);
  if (node == nullptr) return {0};
  for (const GraphHandle it : node->owned)
    if (find(it)->native == native) return it;
  const GraphHandle handle = make(native, node_handle);
  if (handle.value != 0) node->owned.push_back(handle);
  return handle;
}

GraphNodeHandle Graphs::node(GraphHandle graph_handle, CUgraphNode native) {
  std::lock_guard lock(mutex_);
  Graph* graph = find(graph_handle);
  if (graph == nullptr) return {0};
  const auto known = graph->nodes.find(native);
  if (known != graph->nodes.end()) return known->second;
  const GraphNodeHandle handle = node_handles_.mint();
  if (handle.value == 0) return handle;
  if (!handles_.put(handle, native)) {
    node_handles_.give(handle);
    return {0};
  }
  graph->nodes.emplace(native, handle);
  nodes_[handle.index()] = {handle, native, graph_handle, {}};
  return handle;
}

bool Graphs::is_within(GraphHandle handle, const Graph* around) {
  for (const Graph* graph = find(handle); graph != nullptr;) {
    if (graph == around) return true;
    const Node* const owner = find(graph->owner);
    graph = owner != nullptr ? find(owner->graph) : nullptr;
  }
  return false;
}

bool Graphs::may_move(GraphHandle handle, GraphHandle into) {
  std::lock_guard lock(mutex_);
  const Graph* graph = find(handle);
  return graph != nullptr && graph->owner.value == 0 && !is_within(into, graph);
}

void Graphs::adopt(GraphNodeHandle node_handle, GraphHandle graph_handle) {
  std::lock_guard lock(mutex_);
  Node* node = find(node_handle);
  Graph* graph = find(graph_handle);
  if (node == nullptr || graph == nullptr || graph->owner.value != 0) return;
  // No driver moves a graph into itself; were one to, what ends with what would have no end here.
  if (is_within(node->graph, graph)) return;
  graph->owner = node_handle;
  node->owned.push_back(graph_handle);
}

GraphHandle Graphs::graph_of(GraphNodeHandle handle) const {
  std::lock_guard lock(mutex_);
  const Node* node = find(handle);
  return node != nullptr ? node->graph : GraphHandle{0};
}

void Graphs::drop_node(GraphNodeHandle handle) {
  const Node* node = find(handle);
  if (node == nullptr) return;
  const std::vector<GraphHandle> owned = node->owned;
  for (const GraphHandle graph : owned) drop_graph(graph);
  handles_.take<CUgraphNode>(handle);
  nodes_.erase(handle.index());
  node_handles_.give(handle);
}

void Graphs::drop_graph(GraphHandle handle) {
  Graph* graph = find(handle);
  if (graph == nullptr) return;
  std::vector<GraphNodeHandle> nodes;
  for (const auto& [native, node] : graph->nodes) nodes.push_back(node);
  for (const GraphNodeHandle node : nodes) drop_node(node);
  for (const u64 condition : graph->conditions) conditions_.erase(condition);
  handles_.take<CUgraph>(handle);
  by_native_.erase(graph->native);
  graphs_.erase(handle.index());
  graph_handles_.give(handle);
}

void Graphs::drop_owned(GraphNodeHandle handle) {
  std::lock_guard lock(mutex_);
  Node* node = find(handle);
  if (node == nullptr) return;
  for (const GraphHandle graph : std::exchange(node->owned, {})) drop_graph(graph);
}

void Graphs::drop(GraphNodeHandle handle) {
  std::lock_guard lock(mutex_);
  const Node* node = find(handle);
  if (node == nullptr) return;
  if (Graph* graph = find(node->graph)) graph->nodes.erase(node->native);
  drop_node(handle);
}

void Graphs::drop(GraphHandle handle) {
  std::lock_guard lock(mutex_);
  const Graph* graph = find(handle);
  // A node's own graphs end with the node; the driver does not destroy them by themselves.
  if (graph != nullptr && graph->owner.value == 0) drop_graph(handle);
}

bool Graphs::add_condition(GraphHandle handle, u64 condition) {
  std::lock_guard lock(mutex_);
  Graph* graph = find(handle);
  if (graph == nullptr || conditions_.size() == kMostConditions) return false;
  if (conditions_.insert(condition).second) graph->conditions.push_back(condition);
  return true;
}

bool Graphs::has_condition(u64 condition) const {
  std::lock_guard lock(mutex_);
  return conditions_.contains(condition);
}

}  // namespace vgpu::executor
