#pragma once
#include <cstring>
#include <vector>

#include "protocol/graph.hpp"
#include "shim/session.hpp"

/// What the calls about graphs have in common: lists that the host writes in pieces, edges that go there.
namespace vgpu::shim {

using protocol::GraphEdge;
using protocol::GraphExecHandle;
using protocol::GraphHandle;
using protocol::GraphNodeHandle;

inline GraphHandle graph_handle(CUgraph graph) noexcept { return {reinterpret_cast<u64>(graph)}; }
inline GraphNodeHandle node_handle(CUgraphNode node) noexcept { return {reinterpret_cast<u64>(node)}; }
inline CUgraph as_graph(GraphHandle graph) noexcept { return reinterpret_cast<CUgraph>(graph.value); }
inline CUgraphNode as_node(GraphNodeHandle node) noexcept { return reinterpret_cast<CUgraphNode>(node.value); }

/// The current context's index, or 0: graphs need none.
inline u32 graph_context() noexcept {
  CUresult result = CUDA_SUCCESS;
  const Context* context = current_context(result);
  return context ? context->index() : 0;
}

/// Reads a whole list (graph.def, "Lists"): get(into, room, first, total&) sends one call. `wanted` false: only
/// `total`, the length, is asked for.
template <typename T, typename Get>
CUresult read_list(bool wanted, std::vector<T>& list, u64& total, Get&& get) {
  list.clear();
  if (!wanted) return get(Offset{0}, u64{0}, u64{0}, total);
  State& s = state();
  StagingChunk chunk(s.staging, s.staging.take());
  if (!chunk.taken()) return s.channel->health();
  constexpr u64 kRoom = Staging::kChunkBytes / sizeof(T);
  do {
    const CUresult result = get(chunk.offset(), kRoom, u64{list.size()}, total);
    if (result != CUDA_SUCCESS) return result;
    const u64 count = total > list.size() ? std::min<u64>(kRoom, total - list.size()) : 0;
    const std::size_t at = list.size();
    list.resize(at + count);
    if (count != 0) std::memcpy(static_cast<void*>(list.data() + at), chunk.memory(), count * sizeof(T));
    if (count == 0) break;
  } while (list.size() < total);
  return CUDA_SUCCESS;
}

/// The tail of a record with edges; `to` null: only one end is said. `data` may be null.
inline std::vector<std::byte> edge_tail(const CUgraphNode* from, const CUgraphNode* to, const CUgraphEdgeData* data,
                                        std::size_t count) {
  std::vector<std::byte> tail(count * sizeof(GraphEdge));
  for (std::size_t i = 0; i < count; ++i) {
    GraphEdge edge{node_handle(from[i]), {to ? node_handle(to[i]).value : 0}, {}};
    static_assert(sizeof data[i] == sizeof edge.data);
    if (data) std::memcpy(edge.data.data(), &data[i], sizeof data[i]);
    std::memcpy(tail.data() + i * sizeof edge, &edge, sizeof edge);
  }
  return tail;
}

inline CUgraphEdgeData edge_data(const GraphEdge& edge) noexcept {
  CUgraphEdgeData data;
  std::memcpy(&data, edge.data.data(), sizeof data);
  return data;
}
/// True for an edge that the calls without edge data can tell of.
inline bool is_plain(const GraphEdge& edge) noexcept {
  const CUgraphEdgeData data = edge_data(edge);
  return data.type == 0 && data.from_port == 0 && data.to_port == 0;
}

}  // namespace vgpu::shim
