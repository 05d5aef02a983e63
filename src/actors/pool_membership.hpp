#pragma once
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace vgpu::daemon {

/// Which pool each VM is in while it has sessions: a VM that the configuration moves goes to its new pool when it has
/// none, so that its processes never compete in two. Any thread.
class PoolMembership {
 public:
  /// One more session of the VM. The pool that it belongs to: `configured`, unless others are elsewhere still.
  std::string enter(std::uint32_t vm, const std::string& configured) {
    const std::lock_guard lock(mutex_);
    Vm& its = vms_[vm];
    if (its.sessions++ == 0) its.pool = configured;
    return its.pool;
  }
  /// One less.
  void leave(std::uint32_t vm) {
    const std::lock_guard lock(mutex_);
    const auto found = vms_.find(vm);
    if (found != vms_.end() && --found->second.sessions == 0) vms_.erase(found);
  }

 private:
  struct Vm {
    std::uint32_t sessions = 0;
    std::string pool;
  };
  std::mutex mutex_;
  std::map<std::uint32_t, Vm> vms_;
};

}  // namespace vgpu::daemon
