#pragma once
#include <array>

#include "executor/dispatch.hpp"
#include "protocol/payload.hpp"

namespace vgpu::executor {

/// True for attributes whose values are numbers or device addresses: they mean the same here as in the guest.
bool is_carried_attribute(protocol::u32 id) noexcept;

/// The launch attributes at the start of a record's tail, copied out of shared memory.
class LaunchAttributes {
 public:
  /// CUDA_ERROR_NOT_SUPPORTED: one of them is not carried (counted under `call`). CUDA_ERROR_UNKNOWN: the session has
  /// ended.
  CUresult read(Invocation& in, protocol::u32 count, std::string_view call);
  /// Adds one of our own; there is always room for one.
  void add(const CUlaunchAttribute& attribute) { attributes_[count_++] = attribute; }

  CUlaunchAttribute* data() noexcept { return attributes_.data(); }
  unsigned count() const noexcept { return count_; }

 private:
  std::array<CUlaunchAttribute, protocol::kMaxLaunchAttributes + 1> attributes_;
  unsigned count_ = 0;
};

/// Grid, block and attributes in the driver's form. `attributes` outlives it.
template <typename Request>
CUlaunchConfig launch_config(const Request& request, CUstream stream, LaunchAttributes& attributes) noexcept {
  CUlaunchConfig config{};
  config.gridDimX = request.grid_x;
  config.gridDimY = request.grid_y;
  config.gridDimZ = request.grid_z;
  config.blockDimX = request.block_x;
  config.blockDimY = request.block_y;
  config.blockDimZ = request.block_z;
  config.sharedMemBytes = request.shared_bytes;
  config.hStream = stream;
  config.attrs = attributes.data();
  config.numAttrs = attributes.count();
  return config;
}

}  // namespace vgpu::executor
