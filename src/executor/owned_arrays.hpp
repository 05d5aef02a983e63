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
  }
  /// The parts of an owner that is about to go.
  std::vector<protocol::ArrayHandle> take(protocol::u64 owner) {
    const std::lock_guard lock(mutex_);
    const auto node = parts_.extract(owner);
    return node.empty() ? std::vector<protocol::ArrayHandle>() : std::move(node.mapped());
  }

 private:
  std::mutex mutex_;
  std::map<protocol::u64, std::vector<protocol::ArrayHandle>> parts_;
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
