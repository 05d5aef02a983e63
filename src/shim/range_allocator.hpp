#pragma once
#include <map>
#include <optional>

#include "protocol/types.hpp"

namespace vgpu::shim {

/// Hands out ranges of [0, size) first-fit, in multiples of a granule. Not thread-safe.
class RangeAllocator {
 public:
  using u64 = protocol::u64;

  RangeAllocator(u64 bytes, u64 granule) : granule_(granule), size_(bytes / granule * granule) {
    if (size_ != 0) free_[0] = size_;
  }

  u64 rounded(u64 bytes) const noexcept {
    return bytes == 0 ? granule_ : bytes / granule_ * granule_ + (bytes % granule_ ? granule_ : 0);
  }

  /// Start of a range of rounded(bytes), or nothing when none is long enough.
  std::optional<u64> take(u64 bytes) {
    if (bytes > size_) return std::nullopt;
    const u64 wanted = rounded(bytes);
    for (auto at = free_.begin(); at != free_.end(); ++at) {
      if (at->second < wanted) continue;
      const u64 start = at->first;
      const u64 rest = at->second - wanted;
      free_.erase(at);
      if (rest != 0) free_[start + wanted] = rest;
      return start;
    }
    return std::nullopt;
  }

  /// Gives back what take(bytes) returned.
  void give(u64 start, u64 bytes) {
    u64 length = rounded(bytes);
    auto after = free_.upper_bound(start);
    if (after != free_.end() && start + length == after->first) {
      length += after->second;
      after = free_.erase(after);
    }
    if (after != free_.begin()) {
      auto before = std::prev(after);
      if (before->first + before->second == start) {
        before->second += length;
        return;
      }
    }
    free_[start] = length;
  }

  /// True when everything has been given back.
  bool whole() const noexcept { return size_ == 0 || (free_.size() == 1 && free_.begin()->second == size_); }

 private:
  u64 granule_;
  u64 size_;
  std::map<u64, u64> free_;  ///< start to length; neighbours are always joined
};

}  // namespace vgpu::shim
