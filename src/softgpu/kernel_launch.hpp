#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>

#include "softgpu/module.hpp"

namespace vgpu::softgpu {

struct LaunchShape {
  ptx::Dim3 grid;
  ptx::Dim3 block;
  unsigned dynamic_shared = 0;
  bool cooperative = false;
};

/// The packed parameters of one launch, inside the queue's node as long as they are few.
class LaunchParameters {
 public:
  explicit LaunchParameters(std::size_t bytes) : bytes_(bytes) {
    if (bytes > inline_.size()) heap_ = std::make_unique<std::byte[]>(bytes);
  }
  LaunchParameters(const LaunchParameters& other) : LaunchParameters(other.bytes_) {
    std::memcpy(data(), other.data(), bytes_);
  }
  LaunchParameters(LaunchParameters&&) noexcept = default;
  LaunchParameters& operator=(const LaunchParameters& other) {
    if (this != &other) *this = LaunchParameters(other);
    return *this;
  }
  LaunchParameters& operator=(LaunchParameters&&) noexcept = default;

  std::byte* data() noexcept { return heap_ != nullptr ? heap_.get() : inline_.data(); }
  const std::byte* data() const noexcept { return heap_ != nullptr ? heap_.get() : inline_.data(); }
  std::span<const std::byte> view() const noexcept { return {data(), bytes_}; }

 private:
  std::size_t bytes_;
  std::unique_ptr<std::byte[]> heap_;
  alignas(16) std::array<std::byte, 192> inline_{};
};

/// A kernel launch that was checked, with a copy of its parameters: it may be queued in a stream or kept in a graph.
struct KernelLaunch {
  std::shared_ptr<Module> module;
  std::uint32_t kernel;
  LaunchShape shape;
  LaunchParameters parameters;

  /// Runs the grid on the calling thread and the pool. A fault becomes the sticky error, with a log line.
  void operator()() const noexcept;
};

/// Checks the shape against the device's and the kernel's limits.
CUresult check_launch_shape(const Function& function, const LaunchShape& shape);

/// Checks the shape and packs the parameters, which come as pointers or as
/// a buffer (`extra`), as cuLaunchKernel takes them.
CUresult prepare_launch(const Function& function, const LaunchShape& shape, void** parameters, void** extra,
                        std::optional<KernelLaunch>& launch);

/// Attributes of a launch as cuLaunchKernelEx takes them. Those that ask for something that can't be given are refused
/// by name; those that only advise are left aside.
CUresult read_launch_attributes(const CUlaunchAttribute* attributes, unsigned count, LaunchShape& shape);

}  // namespace vgpu::softgpu
