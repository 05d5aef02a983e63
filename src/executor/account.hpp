#pragma once
#include <memory>
#include <mutex>

#include "protocol/executor_link.hpp"

namespace vgpu::executor {

/// Where the session's share of its VM is written down.
struct AccountPlace {
  protocol::VmAccount* account = nullptr;  ///< null: nobody sets limits, and the session counts for itself
  protocol::u32 slot = 0;
};

/// What the session holds of what its VM may hold. Any thread.
class Account {
 public:
  Account(AccountPlace place, protocol::SessionStats& stats);

  /// Takes `amount`, to be given back by release(). False: the VM would be over its limit; nothing is taken. Two that
  /// race for the last piece may both be refused.
  bool reserve(protocol::Limit limit, protocol::u64 amount) noexcept;
  /// The same for what is held already, whatever the limit says.
  void take(protocol::Limit limit, protocol::u64 amount) noexcept;
  void release(protocol::Limit limit, protocol::u64 amount) noexcept;
  /// Counts that something was refused for this limit, if there is one.
  void refuse(protocol::Limit limit) noexcept;

  /// 0: none.
  protocol::u64 limit(protocol::Limit limit) const noexcept;
  /// Held by all sessions of the VM.
  protocol::u64 used(protocol::Limit limit) const noexcept;
  /// What the VM may still take; all there could be where it has no limit.
  protocol::u64 left(protocol::Limit limit) const noexcept;

  /// True if a session of the VM is over whose executor still holds some of it.
  bool some_is_about_to_go(protocol::Limit limit) const noexcept;

  protocol::VmAccount& shared() noexcept { return *account_; }

 private:
  /// Device memory that the session holds becomes more, or less, by wrapping round; sums up what it held until now.
  void change_memory(protocol::u64 difference) noexcept;

  std::unique_ptr<protocol::VmAccount> own_;
  protocol::VmAccount* account_;
  protocol::VmAccount::Slot& slot_;
  protocol::SessionStats& stats_;
  std::mutex memory_mutex_;
};

}  // namespace vgpu::executor
