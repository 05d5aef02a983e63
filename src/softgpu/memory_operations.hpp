#pragma once
#include <vector>

#include "softgpu/driver_api.hpp"

namespace vgpu::softgpu {

/// Operations of cuStreamBatchMemOp in order: writes to a word of memory, and waits for one.
class MemoryOperations {
 public:
  /// CUDA_ERROR_INVALID_VALUE for an unknown operation or flag, an address that is not aligned or not accessible.
  static CUresult prepare(const CUstreamBatchMemOpParams* operations, unsigned count, MemoryOperations& prepared);

  const std::vector<CUstreamBatchMemOpParams>& list() const noexcept { return operations_; }

  /// Runs them on the calling thread. A wait ends with the sticky error too. An address that is gone by now becomes
  /// the sticky error.
  void operator()() const noexcept;

 private:
  std::vector<CUstreamBatchMemOpParams> operations_;
};

}  // namespace vgpu::softgpu
