#include "softgpu/graph.hpp"

#include <algorithm>
#include <queue>
#include <unordered_map>

#include "softgpu/driver.hpp"
#include "softgpu/user_object.hpp"

namespace vgpu::softgpu {
namespace {

constexpr CUgraphNodeType kTypes[] = {
    CU_GRAPH_NODE_TYPE_EMPTY,        CU_GRAPH_NODE_TYPE_KERNEL,       CU_GRAPH_NODE_TYPE_MEMCPY,
    CU_GRAPH_NODE_TYPE_MEMSET,       CU_GRAPH_NODE_TYPE_HOST,         CU_GRAPH_NODE_TYPE_GRAPH,
    CU_GRAPH_NODE_TYPE_EVENT_RECORD, CU_GRAPH_NODE_TYPE_WAIT_EVENT,   CU_GRAPH_NODE_TYPE_MEM_ALLOC,
    CU_GRAPH_NODE_TYPE_MEM_FREE,     CU_GRAPH_NODE_TYPE_BATCH_MEM_OP, CU_GRAPH_NODE_TYPE_CONDITIONAL,
};
static_assert(std::size(kTypes) == std::variant_size_v<NodeWork>);

bool same(const CUgraphEdgeData& a, const CUgraphEdgeData& b) noexcept {
  return a.from_port == b.from_port && a.to_port == b.to_port && a.type == b.type;
}

}  // namespace

CUgraphNodeType type_of(const NodeWork& work) noexcept { return kTypes[work.index()]; }

std::recursive_mutex& graphs_mutex() noexcept {
  static std::recursive_mutex mutex;
  return mutex;
}

std::shared_ptr<Graph> Graph::create() {
  auto graph = std::make_shared<Graph>();
  graph->handle = driver().graphs.insert(graph);
  return graph;
}

Graph::~Graph() {
  for (const auto& [object, count] : user_objects) object->release(count);
}

GraphNode& Graph::add(SharedWork work, const std::vector<GraphEdge>& dependencies) {
  auto node = std::make_shared<GraphNode>(*this, std::move(work));
  node->handle = driver().graph_nodes.insert(node);
  nodes_.push_back(node);
  for (const GraphEdge& edge : dependencies) connect(*edge.node, *node, edge.data);
  return *node;
}

void Graph::connect(GraphNode& from, GraphNode& to, const CUgraphEdgeData& data) {
  from.dependents.push_back({&to, data});
  to.dependencies.push_back({&from, data});
}

bool Graph::disconnect(GraphNode& from, GraphNode& to, const CUgraphEdgeData* data) {
  const auto find = [data](std::vector<GraphEdge>& edges, const GraphNode& node) {
    return std::find_if(edges.begin(), edges.end(), [&](const GraphEdge& edge) {
      return edge.node == &node && (data == nullptr || same(edge.data, *data));
    });
  };
  const auto out = find(from.dependents, to);
  const auto in = find(to.dependencies, from);
  if (out == from.dependents.end() || in == to.dependencies.end()) return false;
  from.dependents.erase(out);
  to.dependencies.erase(in);
  return true;
}

bool Graph::connected(const GraphNode& from, const GraphNode& to) noexcept {
  return std::any_of(to.dependencies.begin(), to.dependencies.end(),
                     [&](const GraphEdge& edge) { return edge.node == &from; });
}

void Graph::remove(GraphNode& node) {
  while (!node.dependencies.empty()) disconnect(*node.dependencies.back().node, node, nullptr);
  while (!node.dependents.empty()) disconnect(node, *node.dependents.back().node, nullptr);
  for (const auto& child : children(node)) child->forget();
  driver().graph_nodes.remove(node.handle);
  std::erase_if(nodes_, [&](const auto& it) { return it.get() == &node; });
}

bool Graph::order(std::vector<GraphNode*>& nodes, GraphNode** offender) const {
  nodes.clear();
  nodes.reserve(nodes_.size());
  std::unordered_map<const GraphNode*, std::size_t> position;
  std::vector<std::size_t> missing(nodes_.size());
  std::priority_queue<std::size_t, std::vector<std::size_t>, std::greater<>> ready;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    position[nodes_[i].get()] = i;
    missing[i] = nodes_[i]->dependencies.size();
    if (missing[i] == 0) ready.push(i);
  }
  while (!ready.empty()) {
    GraphNode* node = nodes_[ready.top()].get();
    ready.pop();
    nodes.push_back(node);
    for (const GraphEdge& edge : node->dependents) {
      const std::size_t next = position[edge.node];
      if (--missing[next] == 0) ready.push(next);
    }
  }
  if (nodes.size() == nodes_.size()) return true;
  for (std::size_t i = 0; i < nodes_.size() && offender != nullptr; ++i) {
    if (missing[i] == 0) continue;
    *offender = nodes_[i].get();
    break;
  }
  return false;
}

std::vector<std::shared_ptr<Graph>> Graph::children(const GraphNode& node) {
  if (const auto* child = node.as<ChildNode>()) return {child->graph};
  if (const auto* conditional = node.as<ConditionalNode>()) return conditional->bodies;
  return {};
}

CUresult Graph::clone(std::shared_ptr<Graph>& copy) const {
  if (has<ConditionalNode>() || has<AllocationNode>() || has<FreeNode>()) return CUDA_ERROR_NOT_SUPPORTED;
  copy = create();
  copy->conditions = conditions;
  std::unordered_map<const GraphNode*, GraphNode*> copies;
  for (const auto& node : nodes_) {
    SharedWork work = node->work;
    if (const auto* child = node->as<ChildNode>()) {
      std::shared_ptr<Graph> inner;
      if (const CUresult error = child->graph->clone(inner); error != CUDA_SUCCESS) return error;
      inner->owned = true;
      work = share(ChildNode{inner, child->ownership});
    }
    GraphNode& made = copy->add(std::move(work), {});
    made.original = node->handle;
    copies[node.get()] = &made;
  }
  for (const auto& node : nodes_) {
    for (const GraphEdge& edge : node->dependencies) connect(*copies[edge.node], *copies[node.get()], edge.data);
  }
  for (const auto& [object, count] : user_objects) {
    object->retain(count);
    copy->user_objects.emplace(object, count);
  }
  return CUDA_SUCCESS;
}

void Graph::forget() {
  for (const auto& node : nodes_) {
    driver().graph_nodes.remove(node->handle);
    for (const auto& child : children(*node)) child->forget();
  }
  driver().graphs.remove(handle);
}

}  // namespace vgpu::softgpu
