#pragma once
#include <cstdint>
#include <memory>

#include "softgpu/driver_api.hpp"

namespace vgpu::softgpu {

class Device;

/// Memory of a device without an address: what cuMemCreate makes. A sealed file in memory, so that it can be mapped at
/// any number of places and given to other processes. Its bytes are charged to the device until the last mapping and
/// the last handle are gone.
class PhysicalMemory {
 public:
  /// Least and recommended unit of sizes and addresses.
  static constexpr std::uint64_t kGranularity = std::uint64_t{1} << 21;

  /// CUDA_ERROR_OUT_OF_MEMORY if the device or the system has not that much.
  static CUresult create(Device& device, std::uint64_t bytes, const CUmemAllocationProp& properties,
                         std::shared_ptr<PhysicalMemory>& memory);
  /// From a descriptor that export_file() gave, of this process or another one; the caller keeps the descriptor. It is
  /// not charged again. CUDA_ERROR_INVALID_VALUE if it is none.
  static CUresult import(int file, std::shared_ptr<PhysicalMemory>& memory);
  ~PhysicalMemory();
  PhysicalMemory(const PhysicalMemory&) = delete;
  PhysicalMemory& operator=(const PhysicalMemory&) = delete;

  Device& device() const noexcept { return device_; }
  std::uint64_t bytes() const noexcept { return bytes_; }
  const CUmemAllocationProp& properties() const noexcept { return properties_; }
  int file() const noexcept { return file_; }
  /// A new descriptor, the caller's. CUDA_ERROR_INVALID_VALUE if the memory was not made for that.
  CUresult export_file(int& file) const;

 private:
  PhysicalMemory(Device& device, std::uint64_t bytes, const CUmemAllocationProp& properties, int file, bool charged);

  Device& device_;
  const std::uint64_t bytes_;
  const CUmemAllocationProp properties_;
  const int file_;
  const bool charged_;
};

/// What a CUmemGenericAllocationHandle stands for: it is released as often as it was given out.
struct PhysicalHandle {
  std::shared_ptr<PhysicalMemory> memory;
  unsigned references = 1;  ///< guarded by the calls' own lock
};
/// cuda.h has numbers for these handles; the table works on pointers.
struct PhysicalHandleTag;

}  // namespace vgpu::softgpu
