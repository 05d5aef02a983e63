#pragma once
#include <cuda.h>

#include <mutex>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "executor/handle_table.hpp"

namespace vgpu::executor {

/// Makes the handles of a kind whose objects the executor finds. One thread at a time.
template <protocol::Kind K>
class Minter {
 public:
  /// Value 0: too many are live.
  protocol::Handle<K> mint() {
    protocol::u32 index;
    if (!free_.empty()) {
      index = free_.back();
      free_.pop_back();
    } else {
      if (generations_.size() == protocol::handle_limit(K)) return {0};
      generations_.push_back(0);
      index = static_cast<protocol::u32>(generations_.size());
    }
    return protocol::Handle<K>::make(index, generations_[index - 1]);
  }
  void give(protocol::Handle<K> handle) {
    ++generations_[handle.index() - 1];
    free_.push_back(handle.index());
  }

 private:
  std::vector<protocol::u16> generations_;
  std::vector<protocol::u32> free_;
};

/// The session's graphs and their nodes. Nodes of captured and cloned graphs and the graphs within nodes are found, not
/// made by a call of the guest: so the handles of all graphs and nodes are made here, when the guest is first told of
/// them, and end with their graph. The driver's handles lie in the session's tables of handles (find<CUgraph>,
/// find<CUgraphNode>). Any thread.
class Graphs {
 public:
  explicit Graphs(Handles& handles) noexcept : handles_(handles) {}

  /// The handle of a graph that no other one owns: created, captured or cloned; the one that it has already, if it has.
  /// Value 0: there are too many.
  protocol::GraphHandle add(CUgraph native);
  /// The handle of a graph that a node owns (a child graph, a conditional node's body): it ends with the node. Value 0:
  /// the node is none, or there are too many graphs.
  protocol::GraphHandle child(protocol::GraphNodeHandle node, CUgraph native);
  /// The handle of a graph's node. Value 0: the graph is none, or there are too many nodes.
  protocol::GraphNodeHandle node(protocol::GraphHandle graph, CUgraphNode native);
  /// True if a node of `into` may become the owner of the graph: no node owns it, and `into` is not within it.
  bool may_move(protocol::GraphHandle graph, protocol::GraphHandle into);
  /// From now on the node owns the graph: it was moved there.
  void adopt(protocol::GraphNodeHandle node, protocol::GraphHandle graph);
  /// The graph that a node belongs to, or value 0.
  protocol::GraphHandle graph_of(protocol::GraphNodeHandle node) const;

  /// The driver has put something else in the place of the graphs that the node owns: their handles end.
  void drop_owned(protocol::GraphNodeHandle node);
  /// The driver has destroyed the node, or is about to: its handle ends, and those of the graphs that it owns.
  void drop(protocol::GraphNodeHandle node);
  /// The same for a graph with all that is in it.
  void drop(protocol::GraphHandle graph);

  /// Conditional handles are the driver's own numbers: nodes may name only those that the driver made for a graph of
  /// this session that is still there. False: the graph is none, or there are too many.
  bool add_condition(protocol::GraphHandle graph, protocol::u64 condition);
  bool has_condition(protocol::u64 condition) const;

 private:
  struct Node {
    protocol::GraphNodeHandle handle{0};
    CUgraphNode native = nullptr;
    protocol::GraphHandle graph{0};
    std::vector<protocol::GraphHandle> owned;
  };
  struct Graph {
    protocol::GraphHandle handle{0};
    CUgraph native = nullptr;
    protocol::GraphNodeHandle owner{0};
    std::unordered_map<CUgraphNode, protocol::GraphNodeHandle> nodes;
    std::vector<protocol::u64> conditions;
  };
  Graph* find(protocol::GraphHandle handle);
  const Node* find(protocol::GraphNodeHandle handle) const;
  Node* find(protocol::GraphNodeHandle handle) { return const_cast<Node*>(std::as_const(*this).find(handle)); }
  protocol::GraphHandle make(CUgraph native, protocol::GraphNodeHandle owner);
  void drop_graph(protocol::GraphHandle handle);
  void drop_node(protocol::GraphNodeHandle handle);
  bool is_within(protocol::GraphHandle graph, const Graph* around);

  static constexpr std::size_t kMostConditions = 1u << 16;

  Handles& handles_;
  mutable std::mutex mutex_;
  Minter<protocol::Kind::graph> graph_handles_;
  Minter<protocol::Kind::graph_node> node_handles_;
  std::unordered_map<protocol::u32, Graph> graphs_;  ///< by index
  std::unordered_map<protocol::u32, Node> nodes_;    ///< by index
  std::unordered_map<CUgraph, protocol::GraphHandle> by_native_;
  std::unordered_set<protocol::u64> conditions_;
};

}  // namespace vgpu::executor
