#pragma once
#include <cuda.h>

#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "protocol/types.hpp"

namespace vgpu::shim {

struct TextureObject {
  protocol::u64 context = 0;  ///< handle
  CUDA_RESOURCE_DESC resource{};
  CUDA_TEXTURE_DESC sampling{};
  std::optional<CUDA_RESOURCE_VIEW_DESC> view;
};

struct SurfaceObject {
  protocol::u64 context = 0;
  CUDA_RESOURCE_DESC resource{};
};

/// Objects whose numbers are the driver's own, because kernels get them as parameters. Any thread.
template <typename Object>
class NumberedObjects {
 public:
  void add(protocol::u64 number, const Object& object) {
    std::lock_guard lock(mutex_);
    objects_.insert_or_assign(number, object);
  }
  std::optional<Object> find(protocol::u64 number) const {
    std::lock_guard lock(mutex_);
    const auto found = objects_.find(number);
    return found != objects_.end() ? std::optional<Object>(found->second) : std::nullopt;
  }
  std::optional<Object> take(protocol::u64 number) {
    std::lock_guard lock(mutex_);
    const auto node = objects_.extract(number);
    return node.empty() ? std::nullopt : std::optional<Object>(node.mapped());
  }
  /// Takes all objects of a context out; their numbers.
  std::vector<protocol::u64> take_context(protocol::u64 context) {
    std::lock_guard lock(mutex_);
    std::vector<protocol::u64> taken;
    std::erase_if(objects_, [&](const auto& entry) {
      if (entry.second.context != context) return false;
      taken.push_back(entry.first);
      return true;
    });
    return taken;
  }

 private:
  mutable std::mutex mutex_;
  std::map<protocol::u64, Object> objects_;
};

}  // namespace vgpu::shim
