#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "softgpu/conditional.hpp"
#include "softgpu/driver_api.hpp"
#include "softgpu/graph_node.hpp"

namespace vgpu::softgpu {

class Context;
class GraphNode;
class UserObject;

/// Guards all graphs, their nodes, executable graphs, user objects and captures of the process. It may be taken again
/// by the thread that holds it. No work runs under it. (CUDA lets a program use a graph from one thread at a time;
/// captures from many threads may add to one graph.)
std::recursive_mutex& graphs_mutex() noexcept;

struct GraphEdge {
  GraphNode* node = nullptr;
  CUgraphEdgeData data{};
};

/// A node: its work, and edges in the order in which they were added. Belongs to its graph.
class GraphNode {
 public:
  GraphNode(Graph& of, SharedWork does) : graph(of), work(std::move(does)) {}

  Graph& graph;
  CUgraphNode handle = nullptr;
  CUgraphNode original = nullptr;  ///< of a clone: the node that it was made from
  SharedWork work;
  std::vector<GraphEdge> dependencies;
  std::vector<GraphEdge> dependents;

  template <class Node>
  const Node* as() const noexcept {
    return std::get_if<Node>(work.get());
  }
};

/// A conditional handle of a graph.
struct Condition {
  CUgraphConditionalHandle handle = 0;
  ConditionHolder holder;
  CUcontext context = nullptr;
  unsigned default_value = 0;
  bool assign_default = false;
  bool used = false;  ///< a node has it
};

/// A graph as the program builds it. All functions under graphs_mutex().
class Graph : public std::enable_shared_from_this<Graph> {
 public:
  /// An empty graph, in the table of handles.
  static std::shared_ptr<Graph> create();
  ~Graph();
  Graph() = default;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  CUgraph handle = nullptr;
  bool owned = false;      ///< by a node of another graph: not to be destroyed or instantiated by itself
  bool moved = false;      ///< into its owner: takes no more memory nodes
  bool capturing = false;  ///< a capture adds to it: not to be instantiated or destroyed
  bool body = false;       ///< of a conditional node
  unsigned instances = 0;  ///< executable graphs made from it that exist
  std::vector<Condition> conditions;
  std::map<std::shared_ptr<UserObject>, unsigned> user_objects;

  /// In the order of their creation.
  const std::vector<std::shared_ptr<GraphNode>>& nodes() const noexcept { return nodes_; }
  GraphNode& add(SharedWork work, const std::vector<GraphEdge>& dependencies);
  void remove(GraphNode& node);
  static void connect(GraphNode& from, GraphNode& to, const CUgraphEdgeData& data);
  /// False if there is no such edge.
  static bool disconnect(GraphNode& from, GraphNode& to, const CUgraphEdgeData* data);
  static bool connected(const GraphNode& from, const GraphNode& to) noexcept;

  /// All nodes, each behind those it depends on, else in the order of their creation. If there is a cycle: false, and
  /// `offender` is a node of it.
  bool order(std::vector<GraphNode*>& nodes, GraphNode** offender = nullptr) const;

  /// True if this graph or a child graph has a node of this kind.
  template <class Node>
  bool has() const;
  /// The child graphs of a node: of a child node one, of a conditional node its bodies.
  static std::vector<std::shared_ptr<Graph>> children(const GraphNode& node);

  /// A copy in the table of handles; CUDA_ERROR_NOT_SUPPORTED for one that can't be copied.
  CUresult clone(std::shared_ptr<Graph>& copy) const;

  /// Takes the graph, its nodes and its child graphs out of the tables.
  void forget();

 private:
  std::vector<std::shared_ptr<GraphNode>> nodes_;
};

template <class Node>
bool Graph::has() const {
  for (const auto& node : nodes_) {
    if (node->as<Node>() != nullptr) return true;
    for (const auto& child : children(*node)) {
      if (child->has<Node>()) return true;
    }
  }
  return false;
}

/// Makes the work of a node from parameters as cuGraphAddNode takes them, and writes what the call gives back there:
/// the address of an allocation, the bodies of a conditional node.
CUresult make_work(CUgraphNodeParams& parameters, Graph& graph, SharedWork& work);
/// The parameters of a node that a program may ask for; pointers in it are valid as long as the work.
void read_work(const NodeWork& work, CUgraphNodeParams& parameters);
/// A kernel node's work with one attribute set.
CUresult with_attribute(const KernelNode& node, CUlaunchAttributeID id, const CUlaunchAttributeValue& value,
                        SharedWork& work);

}  // namespace vgpu::softgpu
