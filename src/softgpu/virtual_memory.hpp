#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "softgpu/driver_api.hpp"
#include "softgpu/physical_memory.hpp"

namespace vgpu::softgpu {

class Memory;

/// Addresses that programs reserve, and the physical memory mapped there. What is mapped is an allocation in Memory; it
/// can be used by kernels and copies once access is set. Reserved addresses are never without memory of this process
/// beneath, so that a kernel that races with an unmapping reads zeroes and not nothing. Thread-safe.
class VirtualMemory {
 public:
  explicit VirtualMemory(Memory& memory) : memory_(memory) {}

  /// `wanted` is a hint; alignment 0 or a power of two. 0 if there is no such range.
  std::uint64_t reserve(std::uint64_t bytes, std::uint64_t alignment, std::uint64_t wanted);
  /// CUDA_ERROR_INVALID_VALUE unless it is a whole reservation without mappings.
  CUresult free(std::uint64_t address, std::uint64_t bytes);
  CUresult map(std::uint64_t address, const std::shared_ptr<PhysicalMemory>& memory);
  /// The range must be made of whole mappings, and all of it mapped.
  CUresult unmap(std::uint64_t address, std::uint64_t bytes);
  /// Access of one device to a range that is mapped as a whole.
  CUresult set_access(std::uint64_t address, std::uint64_t bytes, int device, bool accessible);
  /// Of the granule that holds the address.
  CUresult get_access(std::uint64_t address, int device, bool& accessible) const;

 private:
  struct Reservation {
    std::uint64_t bytes = 0;
    std::vector<std::uint64_t> access;  ///< of each granule, a bit for each device
  };
  /// With the lock held. The mappings that make up the range, or nothing.
  std::vector<std::uint64_t> mappings_in(std::uint64_t address, std::uint64_t bytes) const;
  std::map<std::uint64_t, Reservation>::iterator holder(std::uint64_t address, std::uint64_t bytes);
  bool take_addresses(std::uint64_t address, std::uint64_t bytes);

  Memory& memory_;
  mutable std::mutex mutex_;
  std::map<std::uint64_t, Reservation> reservations_;
  std::map<std::uint64_t, std::uint64_t> mappings_;  ///< address to bytes
};

}  // namespace vgpu::softgpu
