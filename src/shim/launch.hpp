#pragma once
#include "shim/callable.hpp"
#include "shim/stream.hpp"

namespace vgpu::shim {

struct Shape {
  u32 grid_x, grid_y, grid_z;
  u32 block_x, block_y, block_z;
  u32 shared_bytes;
};

/// What the driver would find wrong with a launch before it starts: CUDA_ERROR_INVALID_VALUE for sizes beyond the
/// device, beyond the function's dynamic shared memory or its __launch_bounds__, CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES for
/// more threads than its registers allow. Asks the host about a function at its first launch only.
CUresult check_shape(Context& context, Callable& callable, u64 handle, const Shape& shape);

/// A launch's parameters: an array of pointers to them (packed by layout), or a packed buffer (`extra`).
class Parameters {
 public:
  CUresult read(const Callable& callable, void** pointers, void** extra) noexcept;
  u32 bytes() const noexcept { return bytes_; }
  /// Writes bytes() bytes.
  void write(std::byte* to) const noexcept;

 private:
  const Callable* callable_ = nullptr;
  void* const* pointers_ = nullptr;
  const void* buffer_ = nullptr;
  u32 bytes_ = 0;
};

/// The attributes of a CUlaunchConfig in the form that travels. CUDA_ERROR_INVALID_VALUE for too many or a missing
/// array, CUDA_ERROR_INVALID_HANDLE for an event that is none, CUDA_ERROR_NOT_SUPPORTED for attributes of graphs.
CUresult read_attributes(const CUlaunchConfig& config,
                         std::array<protocol::LaunchAttribute, protocol::kMaxLaunchAttributes>& out,
                         u32& count) noexcept;

}  // namespace vgpu::shim
