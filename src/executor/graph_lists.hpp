#pragma once
#include <algorithm>
#include <cstring>
#include <vector>

#include "executor/dispatch.hpp"
#include "protocol/graph.hpp"

namespace vgpu::executor {

/// Writes the piece of a list that a request asks for (graph.def, "Lists") and says how long the whole list is.
/// `entry(i, value)` makes the i-th entry; false: too many handles.
template <typename T, typename Request, typename Entry>
CUresult write_list(Invocation& in, const Request& request, std::size_t length, protocol::u64& total, Entry&& entry) {
  total = length;
  if (request.room == 0 || request.first >= length) return CUDA_SUCCESS;
  const std::size_t count = std::min<protocol::u64>(request.room, length - request.first);
  std::byte* to = in.session.region.span(request.into, count * sizeof(T));
  if (to == nullptr) return in.violate(VGPU_END_BAD_BULK, "room for a list");
  for (std::size_t i = 0; i < count; ++i) {
    T value{};
    if (!entry(request.first + i, value)) return CUDA_ERROR_OUT_OF_MEMORY;
    std::memcpy(to + i * sizeof value, &value, sizeof value);
  }
  return CUDA_SUCCESS;
}

/// The edges of a record's tail, copied out of shared memory, in the driver's handles.
struct EdgeList {
  std::vector<CUgraphNode> from;
  std::vector<CUgraphNode> to;
  std::vector<CUgraphEdgeData> data;

  /// `pairs`: both ends are said, else only `from`. CUDA_ERROR_INVALID_VALUE: no node.
  CUresult read(Invocation& in, protocol::u32 count, bool pairs) {
    using protocol::GraphEdge;
    if (count > protocol::kMaxEdgesInRecord || in.tail.size() != count * sizeof(GraphEdge))
      return in.violate(VGPU_END_BAD_REQUEST, "count of edges");
    for (protocol::u32 i = 0; i < count; ++i) {
      GraphEdge edge;
      CUgraphEdgeData native;
      std::memcpy(&edge, in.tail.data() + i * sizeof edge, sizeof edge);
      static_assert(sizeof native == sizeof edge.data);
      std::memcpy(&native, edge.data.data(), sizeof native);
      from.push_back(in.session.handles.find<CUgraphNode>(edge.from));
      to.push_back(pairs ? in.session.handles.find<CUgraphNode>(edge.to) : nullptr);
      data.push_back(native);
      if (from.back() == nullptr || (pairs && to.back() == nullptr)) return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
  }
};

inline protocol::GraphEdge wire_edge(protocol::GraphNodeHandle from, protocol::GraphNodeHandle to,
                                     const CUgraphEdgeData& data) noexcept {
  protocol::GraphEdge edge{from, to, {}};
  std::memcpy(edge.data.data(), &data, sizeof data);
  return edge;
}

}  // namespace vgpu::executor
