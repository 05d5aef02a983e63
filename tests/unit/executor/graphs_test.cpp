#include "executor/graphs.hpp"

#include <catch2/catch.hpp>

using namespace vgpu::executor;
using namespace vgpu::protocol;

namespace {

template <typename T>
T native(unsigned number) {
  return reinterpret_cast<T>(std::uintptr_t{0x1000} * number);
}

}  // namespace

TEST_CASE("graphs: a node has one handle, which ends with its graph") {
  SessionStats stats{};
  Account account({}, stats);
  Handles handles(account);
  Graphs graphs(handles);
  const GraphHandle graph = graphs.add(native<CUgraph>(1));
  CHECK(handles.find<CUgraph>(graph) == native<CUgraph>(1));
  const GraphNodeHandle node = graphs.node(graph, native<CUgraphNode>(2));
  CHECK(graphs.node(graph, native<CUgraphNode>(2)).value == node.value);
  CHECK(handles.find<CUgraphNode>(node) == native<CUgraphNode>(2));
  CHECK(graphs.graph_of(node).value == graph.value);
  CHECK(graphs.node(GraphHandle::make(7, 0), native<CUgraphNode>(2)).value == 0);

  graphs.drop(graph);
  CHECK(handles.find<CUgraph>(graph) == nullptr);
  CHECK(handles.find<CUgraphNode>(node) == nullptr);
  CHECK(graphs.graph_of(node).value == 0);
  // The place is used again under another handle.
  const GraphHandle next = graphs.add(native<CUgraph>(1));
  CHECK(next.index() == graph.index());
  CHECK(next.value != graph.value);
  CHECK(graphs.node(next, native<CUgraphNode>(2)).value != node.value);
}

TEST_CASE("graphs: what a node owns ends with the node, and not by itself") {
  SessionStats stats{};
  Account account({}, stats);
  Handles handles(account);
  Graphs graphs(handles);
  const GraphHandle graph = graphs.add(native<CUgraph>(1));
  const GraphNodeHandle node = graphs.node(graph, native<CUgraphNode>(2));
  const GraphHandle body = graphs.child(node, native<CUgraph>(3));
  CHECK(graphs.child(node, native<CUgraph>(3)).value == body.value);
  const GraphNodeHandle inner = graphs.node(body, native<CUgraphNode>(4));
  const GraphHandle moved = graphs.add(native<CUgraph>(5));
  graphs.adopt(node, moved);
  graphs.drop(body);
  graphs.drop(moved);
  CHECK(handles.find<CUgraph>(body) == native<CUgraph>(3));
  CHECK(handles.find<CUgraph>(moved) == native<CUgraph>(5));

  graphs.drop(node);
  CHECK(handles.find<CUgraph>(body) == nullptr);
  CHECK(handles.find<CUgraph>(moved) == nullptr);
  CHECK(handles.find<CUgraphNode>(inner) == nullptr);
  CHECK(handles.find<CUgraph>(graph) == native<CUgraph>(1));
  // The driver may use the node's address again: that is another node.
  CHECK(graphs.node(graph, native<CUgraphNode>(2)).value != node.value);
}

TEST_CASE("graphs: handles are found by what the driver gives") {
  SessionStats stats{};
  Account account({}, stats);
  Handles handles(account);
  const EventHandle event = EventHandle::make(9, 3);
  REQUIRE(handles.put(event, native<void*>(6)));
  CHECK(handles.handle_of<Kind::event>(native<void*>(6)).value == event.value);
  CHECK(handles.handle_of<Kind::event>(native<void*>(7)).value == 0);
  CHECK(handles.handle_of<Kind::event>(nullptr).value == 0);
}

TEST_CASE("graphs: whatever is said to own itself ends once") {
  SessionStats stats{};
  Account account({}, stats);
  Handles handles(account);
  Graphs graphs(handles);
  const GraphHandle outer = graphs.add(native<CUgraph>(1));
  const GraphNodeHandle node = graphs.node(outer, native<CUgraphNode>(2));
  graphs.adopt(node, outer);
  const GraphHandle inner = graphs.add(native<CUgraph>(3));
  const GraphNodeHandle deeper = graphs.node(inner, native<CUgraphNode>(4));
  graphs.adopt(node, inner);
  graphs.adopt(deeper, outer);
  graphs.drop(outer);
  CHECK(handles.find<CUgraph>(outer) == nullptr);
  CHECK(handles.find<CUgraph>(inner) == nullptr);
  CHECK(handles.find<CUgraphNode>(deeper) == nullptr);
}
