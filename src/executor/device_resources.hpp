#pragma once
#include <cstring>
#include <mutex>
#include <vector>

#include "executor/cuda_api.hpp"
#include "protocol/types.hpp"

namespace vgpu::executor {

/// What the driver keeps in a CUdevResource and a CUdevResourceDesc is its own affair: the guest names them by number.
/// Numbers begin at 1 and last as long as the session. Any thread.
class DeviceResources {
 public:
  static constexpr std::size_t kMost = 4096;

  /// The number of a resource, the same for the same one; 0: too many.
  protocol::u32 number(const CUdevResource& resource) {
    const std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < resources_.size(); ++i)
      if (std::memcmp(&resources_[i], &resource, sizeof resource) == 0) return static_cast<protocol::u32>(i + 1);
    if (resources_.size() == kMost) return 0;
    resources_.push_back(resource);
    return static_cast<protocol::u32>(resources_.size());
  }
  /// False: no resource has this number.
  bool find(protocol::u32 number, CUdevResource& resource) {
    const std::lock_guard lock(mutex_);
    if (number == 0 || number > resources_.size()) return false;
    resource = resources_[number - 1];
    return true;
  }
  /// The number of a description; 0: too many.
  protocol::u64 number(CUdevResourceDesc description) {
    const std::lock_guard lock(mutex_);
    if (descriptions_.size() == kMost) return 0;
    descriptions_.push_back(description);
    return descriptions_.size();
  }
  /// False: no description has this number.
  bool find(protocol::u64 number, CUdevResourceDesc& description) {
    const std::lock_guard lock(mutex_);
    if (number == 0 || number > descriptions_.size()) return false;
    description = descriptions_[number - 1];
    return true;
  }

 private:
  std::mutex mutex_;
  std::vector<CUdevResource> resources_;
  std::vector<CUdevResourceDesc> descriptions_;
};

}  // namespace vgpu::executor
