#pragma once
#include <vector>

#include "executor/copy_graph.hpp"
#include "executor/dispatch.hpp"
#include "protocol/graph_node.hpp"

/// Parameters of graph nodes: from the form that travels (protocol/graph_node.hpp) into the driver's structures, and
/// back. The one reader and the one writer for all calls about nodes.
namespace vgpu::executor {

/// A node's parameters as cuGraphAddNode takes them, rebuilt field by field from a copy of what the guest sent.
/// Pointers in native() point into this object.
class NodeParameters {
 public:
  NodeParameters() = default;
  NodeParameters(const NodeParameters&) = delete;
  NodeParameters& operator=(const NodeParameters&) = delete;

  /// `from` may be shared memory. `owner`: the graph that keeps a host function alive; null: nobody but the session
  /// does. CUDA_ERROR_INVALID_HANDLE, CUDA_ERROR_INVALID_CONTEXT, CUDA_ERROR_INVALID_VALUE: a handle names nothing;
  /// CUDA_ERROR_NOT_SUPPORTED: no kind that is carried. CUDA_ERROR_UNKNOWN: the session ended, because of a wrong
  /// length, an offset out of the region or a reserved field.
  CUresult read(Invocation& in, protocol::u32 type, std::span<const std::byte> from, CUgraph owner);
  CUgraphNodeParams& native() noexcept { return native_; }
  /// The graph that a node made from these owns from then on, or value 0.
  protocol::GraphHandle moved() const noexcept { return moved_; }
  /// Functions that a copy of pageable memory needs beside native().
  const CopyFunctions& functions() const noexcept { return functions_; }

 private:
  CUresult read_kernel(Invocation& in);
  CUresult read_copy(Invocation& in);
  CUresult read_side(Invocation& in, const protocol::CopyNodeSide& side, const protocol::CopyNode& node,
                     CUmemorytype& type, std::byte*& host, CUdeviceptr& device, CUarray& array);
  CUresult read_fill(Invocation& in);
  CUresult read_host(Invocation& in, CUgraph owner);
  CUresult read_child(Invocation& in);
  CUresult read_event(Invocation& in, CUevent& event);
  CUresult read_allocation(Invocation& in);
  CUresult read_operations(Invocation& in);
  CUresult read_conditional(Invocation& in);

  /// Takes the fixed part of `bytes_`, which must be followed by `count(node)` elements of `each` bytes. False: the
  /// session ended.
  template <typename Node>
  bool take(Invocation& in, Node& node, protocol::u64 following = 0);

  CUgraphNodeParams native_{};
  protocol::GraphHandle moved_{0};
  CopyFunctions functions_;
  std::vector<std::byte> bytes_;
  std::size_t extra_bytes_ = 0;
  std::array<void*, 5> extra_{};
  std::vector<CUmemAccessDesc> accesses_;
  std::vector<CUstreamBatchMemOpParams> operations_;
};

/// What the driver says of a node, by the getters of its kind; pointers in it are the driver's.
/// CUDA_ERROR_NOT_SUPPORTED: a kind without getters, or one that is not carried.
CUresult read_node(Invocation& in, CUgraphNode node, CUgraphNodeParams& to, CopyFunctions& functions);

/// Appends parameters in the form that travels. The driver's handles are looked up in the session's tables: one that
/// the guest has no handle for is 0, but for a kernel's, which gives CUDA_ERROR_INVALID_HANDLE. Child graphs and bodies
/// get handles that end with `node`.
CUresult write_parameters(Invocation& in, protocol::GraphNodeHandle node, const CUgraphNodeParams& from,
                          const CopyFunctions& functions, std::vector<std::byte>& out);

}  // namespace vgpu::executor
