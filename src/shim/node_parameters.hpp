#pragma once
#include <cuda.h>

#include <map>
#include <mutex>
#include <span>
#include <vector>

#include "protocol/graph_node.hpp"

/// Parameters of graph nodes: from cuda.h's structures into the form that travels (protocol/graph_node.hpp), and back.
/// All calls about nodes meet here, so that no kind of node is described twice.
namespace vgpu::shim {

using protocol::u32;
using protocol::u64;

/// A box of bytes in pageable memory, as one side of CUDA_MEMCPY3D names it.
struct PageableBox {
  u64 address = 0;
  u64 x = 0, y = 0, z = 0, level = 0;
  u64 pitch = 0, rows = 0;
};

/// Numbers of host functions that were made for parameters: forgotten unless the host got to hear of them.
class NewHostFunctions {
 public:
  NewHostFunctions() = default;
  ~NewHostFunctions();
  NewHostFunctions(const NewHostFunctions&) = delete;
  NewHostFunctions& operator=(const NewHostFunctions&) = delete;
  void add(u64 id) { ids_.push_back(id); }
  /// The host has them.
  void keep() noexcept { ids_.clear(); }

 private:
  std::vector<u64> ids_;
};

/// Appends the parameters' wire form to `out`. Errors that only this process can know: handles that are none
/// (CUDA_ERROR_INVALID_HANDLE, CUDA_ERROR_INVALID_CONTEXT), missing arrays (CUDA_ERROR_INVALID_VALUE), and what is not
/// carried (CUDA_ERROR_NOT_SUPPORTED, counted). The host finds the others.
CUresult write_node(const CUgraphNodeParams& from, std::vector<std::byte>& out, NewHostFunctions& functions);

/// What the pointers in parameters that were given to the program point to.
class NodeMemory {
 public:
  /// Reads the wire form of a node's parameters into `to`; arrays lie in this object. Where an earlier answer's memory
  /// fits, it is used again: a program may hold on to pointers that it got before. CUDA_ERROR_UNKNOWN: the answer makes
  /// no sense.
  CUresult read(CUgraphNodeType type, std::span<const std::byte> from, CUgraphNodeParams& to);

 private:
  CUresult read_kernel(std::span<const std::byte> from, CUDA_KERNEL_NODE_PARAMS_v3& to);

  std::vector<std::byte> values_;
  std::vector<void*> pointers_;
  std::vector<CUmemAccessDesc> accesses_;
  std::vector<CUstreamBatchMemOpParams> operations_;
  std::vector<CUgraph> bodies_;
};

/// The memory of all nodes that a program has asked about. A node's lives until its handle's place belongs to another
/// node, which is later than CUDA promises ("owned by the node") and needs nobody to say when the node ends.
class NodeMemories {
 public:
  /// NodeMemory::read into the memory of `node`. Any thread.
  CUresult read(u64 node, CUgraphNodeType type, std::span<const std::byte> from, CUgraphNodeParams& to);

 private:
  struct Entry {
    u64 node = 0;
    NodeMemory memory;
  };
  std::mutex mutex_;
  std::map<u32, Entry> by_index_;
};

}  // namespace vgpu::shim
