#pragma once
#include <cstdint>

namespace vgpu::softgpu {

/// Which addresses a kernel of the software GPU may touch. Device addresses are addresses of this process, so a check
/// is all that stands between a kernel's stray pointer and the process.
///
/// Threads: the look-ups are lock-free and may run beside changes; a kernel that races with a free may see either
/// state, as on a real GPU.
class AddressMap {
 public:
  /// The window that device memory comes from: kept away from where Linux places a process's own mappings, so that a
  /// device pointer is never also a host pointer of the guest.
#if defined(__SANITIZE_THREAD__)
  static constexpr std::uint64_t kHeapBase = 0x7e9000000000;  // ThreadSanitizer's shadow lies at the usual place
#else
  static constexpr std::uint64_t kHeapBase = 0x200000000000;
#endif
  static constexpr std::uint64_t kHeapBytes = std::uint64_t{64} << 30;
  /// Behind the heap, the window that cuMemAddressReserve takes addresses from, in granules of 2 MiB: the least that
  /// memory is mapped in.
  static constexpr std::uint64_t kWindowBase = kHeapBase + kHeapBytes;
#if defined(__SANITIZE_THREAD__)
  static constexpr std::uint64_t kWindowBytes = std::uint64_t{64} << 30;
#else
  static constexpr std::uint64_t kWindowBytes = std::uint64_t{1} << 40;
#endif
  static constexpr unsigned kWindowShift = 21;
  /// Resolution of the check inside the heap, as a power of two: 512 bytes, the alignment of every allocation.
  static constexpr unsigned kGranuleShift = 9;

  AddressMap();
  ~AddressMap();
  AddressMap(const AddressMap&) = delete;
  AddressMap& operator=(const AddressMap&) = delete;

  /// True if [address, address + bytes) is allocated device memory or registered host memory. Overflow-safe. bytes > 0.
  bool contains(std::uint64_t address, std::uint64_t bytes) const noexcept;

  /// Marks a part of the heap as accessible or not. Both values are multiples of the granule. One writer at a time.
  void mark_heap(std::uint64_t address, std::uint64_t bytes, bool accessible) noexcept;

  /// The same for a part of the window, in its granules.
  void mark_window(std::uint64_t address, std::uint64_t bytes, bool accessible) noexcept;
  /// True if a part of the range lies in the heap or in the window.
  static constexpr bool touches_device(std::uint64_t address, std::uint64_t bytes) noexcept {
    return address < kWindowBase + kWindowBytes && address + bytes > kHeapBase;
  }

  /// Adds or removes a range of host memory (pinned or registered). One writer at a time. Ranges don't overlap.
  /// add_host returns false when the table of ranges is full (kMaxHostRanges) or the range is empty or overflows.
  static constexpr unsigned kMaxHostRanges = 4096;
  bool add_host(std::uint64_t address, std::uint64_t bytes) noexcept;
  void remove_host(std::uint64_t address) noexcept;

 private:
  struct State;
  State* state_;
};

}  // namespace vgpu::softgpu
