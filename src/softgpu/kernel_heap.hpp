#pragma once
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>

#include "softgpu/ptx/ptx.hpp"

namespace vgpu::softgpu {

/// What malloc in kernels takes memory from: one stretch of device memory for each context, of the size that
/// CU_LIMIT_MALLOC_HEAP_SIZE says. What is allocated stays so until some kernel frees it (CUDA C++ Programming Guide,
/// "Dynamic Global Memory Allocation and Operations"). The bookkeeping lies outside, out of the kernels' reach.
/// Thread-safe.
class KernelHeap final : public ptx::DeviceHeap {
 public:
  /// The stretch belongs to the caller and must outlive the heap. `base` is a multiple of 16.
  KernelHeap(std::uint64_t base, std::uint64_t bytes);
  std::uint64_t allocate(std::uint64_t bytes, std::uint64_t align) noexcept override;
  bool release(std::uint64_t address) noexcept override;

 private:
  void add_free(std::uint64_t address, std::uint64_t bytes);
  void remove_free(std::map<std::uint64_t, std::uint64_t>::iterator range);

  const std::uint64_t total_;
  std::mutex mutex_;
  std::map<std::uint64_t, std::uint64_t> free_;                   // by address
  std::set<std::pair<std::uint64_t, std::uint64_t>> free_sizes_;  // (bytes, address)
  std::unordered_map<std::uint64_t, std::uint64_t> held_;         // bytes by address
};

}  // namespace vgpu::softgpu
