#pragma once
#include "executor/dispatch.hpp"

namespace vgpu::executor {

/// One allocation out of a pool, charged by what the pool has taken from the device: reserve() before the driver is
/// asked, settle() after it.
class PoolAllocation {
 public:
  PoolAllocation(Invocation& in, CUmemoryPool pool, CUstream stream) noexcept : in_(in), pool_(pool), stream_(stream) {}

  /// Not CUDA_SUCCESS: over the limit, counted. If in.wants_worker is set, nothing was decided yet. What is freed
  /// behind work, or kept by a pool, is waited for and taken back first.
  CUresult reserve(protocol::u64 bytes);
  /// What the driver said; the result of the call.
  CUresult settle(CUresult result, CUdeviceptr pointer);

 private:
  CUresult reserve_after_waiting(protocol::u64 bytes);

  Invocation& in_;
  const CUmemoryPool pool_;
  const CUstream stream_;
  bool captured_ = false;
  bool tight_ = false;
  Charge charge_;
};

/// Calls allocate(&pointer), which takes `bytes` from the pool in the stream.
template <typename F>
CUresult allocate_from_pool(Invocation& in, CUmemoryPool pool, CUstream stream, protocol::u64 bytes,
                            protocol::Pointer& out, F&& allocate) {
  PoolAllocation allocation(in, pool, stream);
  CUresult result = allocation.reserve(bytes);
  if (result != CUDA_SUCCESS || in.wants_worker) return result;
  CUdeviceptr pointer = 0;
  result = allocate(&pointer);
  result = allocation.settle(result, pointer);
  if (result == CUDA_SUCCESS) out = protocol::Pointer{pointer};
  return result;
}

/// Bytes of all allocation nodes of a graph and of the graphs within it.
protocol::u64 graph_allocation_bytes(const Driver& cuda, CUgraph graph);

}  // namespace vgpu::executor
