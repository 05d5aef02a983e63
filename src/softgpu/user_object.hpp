#pragma once
#include <memory>

#include "softgpu/driver_api.hpp"

namespace vgpu::softgpu {

/// A program's object with a count of references, which graphs share: the last release calls its destructor, on a
/// thread of the library's, since it may wait for locks of the program. Under graphs_mutex().
class UserObject {
 public:
  UserObject(void* object, CUhostFn destroy, unsigned count) : object_(object), destroy_(destroy), count_(count) {}

  CUuserObject handle = nullptr;

  void retain(unsigned count) noexcept { count_ += count; }
  void release(unsigned count);
  unsigned long long count() const noexcept { return count_; }

 private:
  void* object_;
  CUhostFn destroy_;
  unsigned long long count_;
};

}  // namespace vgpu::softgpu
