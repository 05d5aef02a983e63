#pragma once
#include "protocol/payload.hpp"

/// Lists of graphs' nodes and edges, as they travel in tails and in the region.
namespace vgpu::protocol {

/// An edge, with its CUgraphEdgeData in its bytes. In lists of one node's neighbours, and of a capture's dependencies,
/// only `from` is said.
struct GraphEdge {
  GraphNodeHandle from;
  GraphNodeHandle to;
  std::array<std::byte, 8> data;
};
static_assert(sizeof(GraphEdge) == 24);

/// The most edges in one record: more are sent one record after another.
inline constexpr u32 kMaxEdgesInRecord = 4096;
static_assert(kMaxEdgesInRecord * sizeof(GraphEdge) + 1024 <= VGPU_RECORD_MAX_BYTES);

/// What is due, in an answer of vgpuServeHostFunctions.
enum HostFunctionDue : u32 {
  kHostFunctionOnce = 0,   ///< it runs, and never again
  kHostFunctionAgain = 1,  ///< it runs, and may run again: a graph has it
  kHostFunctionEnds = 2,   ///< nothing has it any more: the last word about this number; nobody waits for it
};

}  // namespace vgpu::protocol
