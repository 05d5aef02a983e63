#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace vgpu::softgpu {

/// Hands out ranges of the device memory window. Pages get memory when they are first touched and give it back when
/// they are free; free memory reads as zero, so nobody sees what another allocation held. Not thread-safe, except for
/// clear().
class Heap {
 public:
  /// Reserves the window's addresses. Throws std::bad_alloc when the system refuses.
  explicit Heap(std::uint64_t bytes);
  ~Heap();
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;

  /// A range of at least that many bytes (rounded up to the granule), aligned to the granule, and to a page when it is
  /// large; nothing if there is no such range.
  std::optional<std::uint64_t> reserve(std::uint64_t bytes);
  /// The bytes that reserve() takes for a request; 0 if it overflows.
  static std::uint64_t rounded(std::uint64_t bytes) noexcept;
  /// Zeroes a reserved range and gives its pages back to the system. May run beside all other functions.
  static void clear(std::uint64_t address, std::uint64_t bytes) noexcept;
  /// Takes a range back, with the size as rounded(). It must be cleared.
  void release(std::uint64_t address, std::uint64_t bytes);

  std::uint64_t used() const noexcept { return used_; }
  std::uint64_t total() const noexcept { return total_; }

 private:
  void add_free(std::uint64_t address, std::uint64_t bytes);
  void remove_free(std::map<std::uint64_t, std::uint64_t>::iterator range);

  std::uint64_t total_;
  std::uint64_t used_ = 0;
  std::map<std::uint64_t, std::uint64_t> free_;                   // by address
  std::set<std::pair<std::uint64_t, std::uint64_t>> free_sizes_;  // (bytes, address)
};

}  // namespace vgpu::softgpu
