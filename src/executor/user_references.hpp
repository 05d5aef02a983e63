#pragma once
#include <mutex>
#include <unordered_map>

#include "protocol/types.hpp"

namespace vgpu::executor {

/// How many references to each user object are the guest's own, beside those that graphs have: the driver does not
/// count whose they are (cuUserObjectRelease: "undefined behavior to release references not owned by the caller"), and
/// an object of which the guest has none may be gone at any moment. Any thread.
class UserReferences {
 public:
  void add(protocol::UserObjectHandle object, protocol::u32 count) {
    const std::lock_guard lock(mutex_);
    own_[object.value] += count;
  }
  /// True if at least `count` of them, and at least one, are the guest's.
  bool has(protocol::UserObjectHandle object, protocol::u32 count) {
    const std::lock_guard lock(mutex_);
    const auto found = own_.find(object.value);
    return found != own_.end() && found->second != 0 && found->second >= count;
  }
  /// The guest gives so many up. Before the driver hears of it: with the last one the object may end.
  void remove(protocol::UserObjectHandle object, protocol::u32 count) {
    const std::lock_guard lock(mutex_);
    if (const auto found = own_.find(object.value); found != own_.end()) found->second -= count;
  }
  void forget(protocol::UserObjectHandle object) {
    const std::lock_guard lock(mutex_);
    own_.erase(object.value);
  }

 private:
  std::mutex mutex_;
  std::unordered_map<protocol::u64, protocol::u64> own_;
};

}  // namespace vgpu::executor
