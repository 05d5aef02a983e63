#pragma once
#include "executor/session.hpp"

namespace vgpu::executor {

/// A host function of the guest as a graph has it: it runs at each launch, so it lives as long as the graph and all
/// that is made from it (clones, executable graphs, graphs that it became a part of). A user object of the graph counts
/// those; when the last is gone the guest hears that `id` ends.
struct GraphHostCall {
  Session& session;
  protocol::u64 id;
};

/// The host function of the node: its argument is a GraphHostCall.
void CUDA_CB run_graph_host_call(void* call);

/// Makes one that `graph` keeps alive, for a node that is added to this graph. On failure the guest hears that `id`
/// ends, too, unless the driver has no user objects. CUDA_ERROR_OUT_OF_MEMORY: the session has too many.
CUresult make_graph_host_call(Session& session, CUgraph graph, protocol::u64 id, GraphHostCall*& call);
/// Makes one for a node of an executable graph, which can't keep anything alive: it lives as long as the session.
CUresult keep_graph_host_call(Session& session, protocol::u64 id, GraphHostCall*& call);

}  // namespace vgpu::executor
