#pragma once
#include <map>
#include <mutex>
#include <unordered_set>
#include <vector>

#include "protocol/types.hpp"

namespace vgpu::executor {

/// Which arrays are levels of a mipmapped array or planes of an array: the driver ends them with it. Any thread.
class OwnedArrays {
 public:
  void add(protocol::u64 owner, protocol::ArrayHandle part) {
    const std::lock_guard lock(mutex_);
    parts_[owner].push_back(part);
    all_.insert(part.value);
  }
  /// True if the array ends with another one, and not by itself.
  bool has(protocol::ArrayHandle array) {
    const std::lock_guard lock(mutex_);
    return all_.contains(array.value);
  }
  /// The parts of an owner that is about to go, and their parts.
  std::vector<protocol::ArrayHandle> take(protocol::u64 owner) {
    const std::lock_guard lock(mutex_);
    std::vector<protocol::ArrayHandle> taken;
    take_locked(owner, taken);
    return taken;
  }

 private:
  /// A part belongs to what was there before it, so that this ends.
  void take_locked(protocol::u64 owner, std::vector<protocol::ArrayHandle>& taken) {
    const auto node = parts_.extract(owner);
    if (node.empty()) return;
    for (const protocol::ArrayHandle part : node.mapped()) {
      all_.erase(part.value);
      taken.push_back(part);
      take_locked(part.value, taken);
    }
  }

  std::mutex mutex_;
  std::map<protocol::u64, std::vector<protocol::ArrayHandle>> parts_;
  std::unordered_set<protocol::u64> all_;
};

/// Objects that the guest knows by the driver's own number. Any thread.
class ObjectNumbers {
 public:
  static constexpr std::size_t kMost = 1u << 20;
  /// False: too many.
  bool add(protocol::u64 object) {
    const std::lock_guard lock(mutex_);
    return objects_.size() < kMost && objects_.insert(object).second;
  }
  /// False: it is none of them.
  bool take(protocol::u64 object) {
    const std::lock_guard lock(mutex_);
    return objects_.erase(object) != 0;
  }

 private:
  std::mutex mutex_;
  std::unordered_set<protocol::u64> objects_;
};

}  // namespace vgpu::executor
