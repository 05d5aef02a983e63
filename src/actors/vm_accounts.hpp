#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "actors/limits.hpp"
#include "common/unique_fd.hpp"

namespace vgpu::daemon {

/// One session's place among those of its VM: a slot of the VM's account (protocol/vm_account.hpp). Any thread.
class VmPlace {
 public:
  struct Vm;
  VmPlace(std::shared_ptr<Vm> vm, std::uint32_t slot) noexcept : vm_(std::move(vm)), slot_(slot) {}
  ~VmPlace() { reaped(); }
  VmPlace(const VmPlace&) = delete;
  VmPlace& operator=(const VmPlace&) = delete;

  /// The account, for the executor.
  int fd() const noexcept;
  std::uint32_t slot() const noexcept { return slot_; }
  /// The session is over: the VM may open another one. What its executor still holds counts until that is reaped.
  void ended() noexcept;
  /// Nobody writes the slot any more: what it holds is gone, and another session may get it.
  void reaped() noexcept;
  bool is_reaped() const noexcept;
  /// What the session's executor says that it holds.
  std::uint64_t held(protocol::Limit limit) const noexcept;

 private:
  const std::shared_ptr<Vm> vm_;
  const std::uint32_t slot_;
  bool ended_ = false;   ///< under the VM's lock
  bool reaped_ = false;  ///< under the VM's lock
};
using VmPlacePtr = std::shared_ptr<VmPlace>;

/// The accounts of all VMs that have sessions. Any thread.
class VmAccounts {
 public:
  enum class Refused { no, too_many_sessions, by_system };
  /// A place for one more session; the VM's limits are these from now on, for those that it has, too. Null: `refused`
  /// says why, with the system's error in `error`.
  VmPlacePtr open(std::uint32_t vm, const Limits& limits, Refused& refused, std::string& error);
  /// The limits of this VM are these from now on, if it has sessions. What is held already stays.
  void changed(std::uint32_t vm, const Limits& limits);

 private:
  std::mutex mutex_;
  std::map<std::uint32_t, std::weak_ptr<VmPlace::Vm>> vms_;
};

}  // namespace vgpu::daemon
