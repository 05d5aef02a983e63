#pragma once
#include <cuda.h>

#include <array>
#include <atomic>
#include <mutex>
#include <vector>

#include "protocol/types.hpp"
#include "shim/futex.hpp"

namespace vgpu::shim {

/// What the guest knows of a function or kernel without asking: its attributes, what they were last set to, and how many
/// of its blocks fit. Libraries ask and set the same before each launch. Any thread.
///
/// Whoever changes the callable brackets that with begin_change() and end_change(); what somebody fetched meanwhile is
/// not remembered, since nobody knows on which side of the change it was answered.
class CallableFacts {
 public:
  using u32 = protocol::u32;
  using i32 = protocol::i32;
  using u64 = protocol::u64;
  static constexpr u32 kAttributes = CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE + 1;

  /// Counts changes; to be taken before something is fetched that is to be remembered.
  u32 version() const noexcept { return version_.load(std::memory_order_acquire); }

  bool find(u32 attribute, i32& value) const noexcept {
    if ((known_.load(std::memory_order_acquire) >> attribute & 1) == 0) return false;
    value = value_[attribute].load(std::memory_order_relaxed);
    return true;
  }
  void remember(u32 attribute, i32 value, u32 version) noexcept;

  /// True if the attribute was set to this value, and not to another since.
  bool is_set_to(u32 attribute, i32 value) const noexcept {
    return (set_.load(std::memory_order_acquire) >> attribute & 1) != 0 &&
           set_to_[attribute].load(std::memory_order_relaxed) == value;
  }
  /// Everything may change; forgets everything.
  void begin_change() noexcept;
  void end_change() noexcept;
  /// This attribute is set; what the others were set to stays. Returns what to hand to end_setting().
  u32 begin_setting(u32 attribute) noexcept;
  /// The attribute has this value now, if `set`, and unless others changed the callable meanwhile.
  void end_setting(u32 begun, u32 attribute, i32 value, bool set) noexcept;

  /// How many blocks fit a multiprocessor.
  struct Occupancy {
    u64 context = 0;
    u64 shared_bytes = 0;
    i32 block_size = 0;
    u32 flags = 0;
    i32 blocks = 0;
    bool is_of(const Occupancy& other) const noexcept {
      return context == other.context && shared_bytes == other.shared_bytes && block_size == other.block_size &&
             flags == other.flags;
    }
  };
  /// Fills in `wanted.blocks`.
  bool find(Occupancy& wanted) noexcept;
  void remember(const Occupancy& occupancy, u32 version);

  /// What a launch may ask for: 0 until the first launch has asked.
  std::atomic<u32> max_threads{0};
  std::atomic<i32> max_dynamic_shared{-1};

 private:
  static constexpr std::size_t kMostOccupancies = 32;
  /// Counts a change and forgets what it may have changed, and of what was set those `attributes`. Under the mutex.
  /// Returns the version before.
  u32 change(u32 attributes) noexcept;

  AdaptiveMutex mutex_;  ///< of whoever writes
  std::array<std::atomic<i32>, kAttributes> value_{};
  std::array<std::atomic<i32>, kAttributes> set_to_{};
  std::atomic<u32> known_{0};  ///< a bit for each attribute
  std::atomic<u32> set_{0};
  std::atomic<u32> version_{1};
  u32 changing_ = 0;
  std::vector<Occupancy> occupancies_;
};

}  // namespace vgpu::shim
