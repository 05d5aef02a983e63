#pragma once
#include <mutex>
#include <vector>

#include "shim/channel.hpp"

namespace vgpu::shim {

/// Memory behind the arena's ranges where the carrier gives it on demand (Carrier::arena_on_demand()); does nothing
/// elsewhere. Offsets count from the arena's start, in granules. Any thread; a range belongs to one caller at a time.
class ArenaBacking {
 public:
  /// Memory of ranges that were given back and is kept for the next ones.
  static constexpr u64 kKeptBytes = 16u << 20;

  explicit ArenaBacking(Channel& channel);

  /// Puts memory behind all of the range, in this process and in the executor. False: there is not enough.
  bool take(u64 start, u64 bytes);
  /// Lets the range go; the host does not use it any more. Its memory goes back to the guest's driver, or is kept.
  void give(u64 start, u64 bytes);

 private:
  struct Granule {
    u64 offset = 0;  ///< of its memory, as the carrier names it
    bool backed = false;
    bool taken = false;
  };

  bool fill(u64 first, u64 end);
  void empty(u64 first, u64 end);
  bool empty_kept();
  void give_back(u64 first, u64 end);

  Channel& channel_;
  std::mutex mutex_;
  std::vector<Granule> granules_;
  u64 kept_ = 0;  ///< granules that are backed and not taken
};

}  // namespace vgpu::shim
