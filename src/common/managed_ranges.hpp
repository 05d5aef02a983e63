#pragma once
// The software GPU hides what is not marked, and it defines what this declares.
#pragma GCC visibility push(default)
#include <cuda.h>
#pragma GCC visibility pop

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

namespace vgpu {

/// What cuMemAdvise and cuMemPrefetchAsync said about the parts of one managed allocation, where the memory stays in
/// one place: advice moves nothing, it is kept for cuMemRangeGetAttribute. Thread-safe.
class ManagedRanges {
 public:
  /// A place as CUmemLocation names it; type 0 (CU_MEM_LOCATION_TYPE_INVALID): none.
  struct Location {
    int type = 0;
    int id = 0;
    bool operator==(const Location&) const = default;
    /// The number of a device, CU_DEVICE_CPU or CU_DEVICE_INVALID.
    int ordinal() const noexcept;
  };
  struct Advice {
    bool read_mostly = false;
    Location preferred;
    Location last_prefetch;
    std::uint64_t devices = 0;  ///< a bit for each device that was said to access it
    bool host = false;          ///< the same for the CPU
    bool operator==(const Advice&) const = default;
  };

  ManagedRanges() { parts_[0] = {}; }

  /// Offsets are bytes from the allocation's start.
  CUresult advise(std::uint64_t offset, std::uint64_t bytes, CUmem_advise advice, Location location);
  void note_prefetch(std::uint64_t offset, std::uint64_t bytes, Location location);
  /// `data` has room for `size` bytes. CUDA_ERROR_INVALID_VALUE for an attribute or a size that don't go together.
  CUresult get(std::uint64_t offset, std::uint64_t bytes, CUmem_range_attribute attribute, void* data,
               std::size_t size) const;

 private:
  /// Calls change(Advice&) for all parts of a range. With the lock held.
  template <class Change>
  void change(std::uint64_t offset, std::uint64_t bytes, Change change);
  void split(std::uint64_t at);

  mutable std::mutex mutex_;
  std::map<std::uint64_t, Advice> parts_;  ///< by the offset where each begins; the last one has no end
};

}  // namespace vgpu
