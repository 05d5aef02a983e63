#pragma once
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "softgpu/driver_api.hpp"

namespace vgpu::softgpu {

class Device;
class Memory;

/// A stream-ordered memory pool: keeps freed ranges for the next allocation, as far as its release threshold allows.
/// Thread-safe.
class MemoryPool {
 public:
  MemoryPool(Memory& memory, Device& device, std::uint64_t max_bytes = 0);
  ~MemoryPool();
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

  CUmemoryPool handle = nullptr;
  Device& device() const noexcept { return device_; }
  /// Whether kernels of the device may use its memory; changed by Memory::set_pool_access.
  bool open_to(std::size_t ordinal) const noexcept {
    return (open_.load(std::memory_order_relaxed) >> ordinal & 1) != 0;
  }
  void open_to(std::size_t ordinal, bool open) noexcept;

  struct Range {
    std::uint64_t address = 0;  ///< 0: not enough memory
    std::uint64_t reserved = 0;
  };
  /// A range that is not accessible yet.
  Range get(std::uint64_t bytes);
  /// Takes a range back that is not accessible any more.
  void put(std::uint64_t address, std::uint64_t reserved) noexcept;
  /// Gives kept ranges back until no more than `keep` bytes are reserved, or none is kept.
  void trim(std::uint64_t keep) noexcept;
  /// What a synchronization does: trims to the release threshold. Costs a load when there is nothing to do.
  void trim_to_threshold() noexcept;

  CUresult get_attribute(CUmemPool_attribute attribute, void* value);
  CUresult set_attribute(CUmemPool_attribute attribute, const void* value);

 private:
  Memory& memory_;
  Device& device_;
  std::atomic<std::uint32_t> open_;  // a bit for each device
  const std::uint64_t max_bytes_;
  std::mutex mutex_;
  std::multimap<std::uint64_t, std::uint64_t> kept_;  // size to address
  std::uint64_t reserved_ = 0, reserved_high_ = 0, used_ = 0, used_high_ = 0, threshold_ = 0;
  std::atomic<bool> over_threshold_{false};
  int reuse_[3] = {1, 1, 1};
};

}  // namespace vgpu::softgpu
