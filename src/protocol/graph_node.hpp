#pragma once
#include "protocol/payload.hpp"

/// Parameters of graph nodes as they travel, in both directions: in the tails of cuGraphAddNode, cuGraphNodeSetParams
/// and cuGraphExecNodeSetParams, and in the answer of vgpuGraphNodeGetParams. One structure for each CUgraphNodeType;
/// what varies in length follows it. Nodes without parameters (empty ones) have no bytes.
///
/// Contexts: 0 is the current one. Reserved fields are 0.
namespace vgpu::protocol {

/// A node that another one depends on, with the edge's CUgraphEdgeData in its bytes.
struct NodeDependency {
  GraphNodeHandle node;
  std::array<std::byte, 8> edge;
};
static_assert(sizeof(NodeDependency) == 16);
/// More of them are added one call after another.
inline constexpr u32 kMaxNodeDependencies = 2048;

/// Followed by parameter_bytes packed bytes.
struct KernelNode {
  CallableHandle function;
  ContextHandle context;
  u32 grid_x, grid_y, grid_z;
  u32 block_x, block_y, block_z;
  u32 shared_bytes;
  u32 parameter_bytes;
};
static_assert(sizeof(KernelNode) == 48);

/// One side of a copy, as CUDA_MEMCPY3D has it. `memory` is a CUmemorytype: host (`address` is an offset of the
/// region), device or array (`address` is an ArrayHandle's value). Pageable memory has a shadow in the region, which
/// the guest's function `host_function` fills before the copy, or empties after it; 0: none.
struct CopyNodeSide {
  u64 x, y, z, level;
  u64 address;
  u64 pitch, height;
  u64 host_function;
  u32 memory;
  u32 zero;
};
struct CopyNode {
  CopyNodeSide source;
  CopyNodeSide destination;
  u64 width, height, depth;
  ContextHandle context;
};
static_assert(sizeof(CopyNode) == 176);

struct FillNode {
  Pointer destination;
  u64 pitch;
  u64 width, height;
  u32 value;
  u32 element_bytes;
  ContextHandle context;
};
static_assert(sizeof(FillNode) == 48);

struct HostNode {
  u64 id;  ///< the guest's number for function and argument
};

struct ChildNode {
  GraphHandle graph;
  u32 ownership;
  u32 zero;
};
static_assert(sizeof(ChildNode) == 16);

/// Nodes that record an event and nodes that wait for one.
struct EventNode {
  EventHandle event;
};

/// One CUmemAccessDesc.
struct NodeAccess {
  u32 location_type;
  i32 location;
  u32 flags;
  u32 zero;
};
/// Followed by access_count NodeAccess.
struct AllocationNode {
  u64 bytes;
  Pointer address;  ///< only in answers
  u64 max_bytes;
  u32 allocation_type;
  u32 handle_types;
  u32 location_type;
  i32 location;
  u32 usage;
  u32 access_count;
};
static_assert(sizeof(AllocationNode) == 48);
inline constexpr u32 kMaxNodeAccesses = 64;

struct FreeNode {
  Pointer address;
};

/// Followed by `count` MemoryOperation (payload.hpp).
struct MemoryOperationsNode {
  ContextHandle context;
  u32 flags;
  u32 count;
};
static_assert(sizeof(MemoryOperationsNode) == 16);
/// As many as the driver takes (CUDA driver API, cuStreamBatchMemOp).
inline constexpr u32 kMaxNodeMemoryOperations = 256;

/// In answers followed by the GraphHandles of its `size` bodies.
struct ConditionalNode {
  u64 condition;
  ContextHandle context;
  u32 type;
  u32 size;
};
static_assert(sizeof(ConditionalNode) == 24);
inline constexpr u32 kMaxConditionalBodies = 1u << 16;
/// The longest answer.
inline constexpr u32 kMaxNodeBytes = sizeof(ConditionalNode) + kMaxConditionalBodies * sizeof(GraphHandle);
static_assert(kMaxNodeBytes <= VGPU_STAGING_CHUNK_BYTES);

}  // namespace vgpu::protocol
