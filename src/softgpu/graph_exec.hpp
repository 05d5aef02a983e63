#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "softgpu/graph.hpp"
#include "softgpu/stream.hpp"

namespace vgpu::softgpu {

struct GraphStep;

/// A graph, made ready to run: its nodes in an order in which each comes behind those it depends on.
struct GraphPlan {
  std::vector<GraphStep> steps;
  std::vector<Condition> conditions;
};

struct GraphStep {
  CUgraphNode node = nullptr;  ///< of the graph that the plan was made from
  SharedWork work;
  bool enabled = true;
  std::vector<std::uint32_t> after;  ///< steps that it depends on, in the order of its node's edges
  std::vector<CUgraphEdgeData> edges;
  std::vector<GraphPlan> children;  ///< of a child node one, of a conditional node its bodies
};

/// An executable graph. All functions under graphs_mutex().
class GraphExec : public std::enable_shared_from_this<GraphExec> {
 public:
  struct Failure {
    CUgraphInstantiateResult result = CUDA_GRAPH_INSTANTIATE_SUCCESS;
    CUgraphNode node = nullptr;
  };
  /// Makes it from a graph and enters it into the table of handles.
  static CUresult create(Graph& graph, cuuint64_t flags, std::shared_ptr<GraphExec>& made, Failure& failure);
  GraphExec(std::shared_ptr<GraphPlan> plan, cuuint64_t flags);
  ~GraphExec();
  GraphExec(const GraphExec&) = delete;
  GraphExec& operator=(const GraphExec&) = delete;

  CUgraphExec handle = nullptr;
  cuuint64_t flags() const noexcept { return flags_; }

  /// Queues one run of it in the stream: behind the stream's work and behind its own earlier runs.
  CUresult launch(Stream& stream);
  /// A graph that does the same, for a launch into a stream that captures.
  std::shared_ptr<Graph> to_graph() const;

  /// The step of a node of the graph that this was made from, in its child graphs too; null if there is none. The
  /// pointer is good until the next change.
  const GraphStep* find(CUgraphNode node) const;
  /// Gives a step other work of the same kind, for later launches. CUDA_ERROR_INVALID_VALUE if that can't be.
  CUresult replace(CUgraphNode node, SharedWork work);
  CUresult replace_child(CUgraphNode node, Graph& graph);
  CUresult set_enabled(CUgraphNode node, bool enabled);
  /// cuGraphExecUpdate: takes all parameters from a graph of the same shape, or changes nothing.
  CUresult update(const Graph& graph, CUgraphExecUpdateResultInfo& info);

 private:
  GraphPlan& writable();
  /// Keeps the graph's user objects for as long as this exists: work that came from the graph may need them.
  void hold(const Graph& graph);

  std::shared_ptr<GraphPlan> plan_;  ///< shared with the launches that have not run
  const cuuint64_t flags_;
  Point last_;
  std::weak_ptr<Graph> source_;
  std::vector<std::pair<std::shared_ptr<UserObject>, unsigned>> user_objects_;
};

/// The plan of a graph. False if the graph has a cycle.
bool make_plan(const Graph& graph, GraphPlan& plan, GraphNode** offender = nullptr);
/// What the event wait nodes of a launch wait for: where their events were recorded when it was called.
using GraphWaits = std::vector<std::pair<const NodeWork*, Point>>;
/// Sets default values of conditions, then runs all steps on the calling thread.
void run_plan(const GraphPlan& plan, const GraphWaits& waits) noexcept;
/// Pairs a plan's steps with a graph's nodes as cuGraphExecUpdate does and takes over their work.
CUgraphExecUpdateResult update_plan(GraphPlan& plan, const Graph& graph, CUgraphExecUpdateResultInfo& info);
/// Whether an executable graph may go on with this work in place of that one.
CUgraphExecUpdateResult compatible(const NodeWork& old_work, const NodeWork& new_work);

}  // namespace vgpu::softgpu
