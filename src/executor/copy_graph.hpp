#pragma once
#include "executor/dispatch.hpp"

/// A graph's copy from or to pageable memory of the guest. The GPU copies to or from a shadow in the arena; functions
/// of the guest fill it before, or empty it after, each launch. The three are one node for the program: a child graph
/// in the driver's eyes, which is recognized by its functions, also in clones and executable graphs.
namespace vgpu::executor {

/// The nodes of such a child graph. Null: the copy has no such part.
struct CopyGraph {
  CUgraphNode before = nullptr;
  CUgraphNode copy = nullptr;
  CUgraphNode after = nullptr;
};

/// The numbers of the guest's functions; 0: none.
struct CopyFunctions {
  protocol::u64 before = 0;
  protocol::u64 after = 0;
  bool any() const noexcept { return before != 0 || after != 0; }
};

/// Makes the child graph; the caller destroys it once the driver has cloned it.
CUresult make_copy_graph(Invocation& in, CUgraphNodeParams& copy, const CopyFunctions& functions, CUgraph& graph);

/// True if `node` holds such a graph: its parts.
bool find_copy_graph(const Driver& cuda, CUgraphNode node, CopyGraph& parts);
/// The functions of a graph that was found.
CopyFunctions functions_of(const Driver& cuda, const CopyGraph& parts);

/// Gives the parts other parameters. CUDA_ERROR_NOT_SUPPORTED: the copy would get or lose a function.
CUresult change_copy_graph(Invocation& in, CUgraphNode node, const CopyGraph& parts, CUgraphNodeParams& copy,
                           const CopyFunctions& functions);

}  // namespace vgpu::executor
