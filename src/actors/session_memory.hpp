#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "actors/vm_memory.hpp"
#include "common/unique_fd.hpp"
#include "protocol/executor_link.hpp"
#include "protocol/layout.h"
#include "protocol/status.hpp"

namespace vgpu::daemon {

/// The shared memory of one session: the region (guest, executor and daemon), the counters (executor and daemon) and
/// the doorbell. The region is a memfd of its own, or a channel of a VM's memory. Both memfds are sealed against
/// shrinking, so that nobody can take pages from under a mapping. What was made goes when the object goes and the other
/// processes are gone. Any thread.
class SessionMemory {
 public:
  /// Makes all of it and fills in the control page. Null: `error` says what the system refused.
  static std::shared_ptr<SessionMemory> create(std::uint64_t region_bytes, std::uint32_t session, std::uint32_t vm,
                                               std::uint64_t features, std::string& error);
  /// The same in a channel of a VM, which reads as zeros first.
  static std::shared_ptr<SessionMemory> create_in_vm(std::shared_ptr<VmMemory> vm, std::uint32_t channel,
                                                     std::uint32_t session, std::uint64_t features, std::string& error);
  ~SessionMemory();
  SessionMemory(const SessionMemory&) = delete;
  SessionMemory& operator=(const SessionMemory&) = delete;

  /// Holds the region from region_offset() on.
  int region_fd() const noexcept { return vm_ != nullptr ? vm_->fd() : region_.get(); }
  std::uint64_t region_offset() const noexcept { return vm_ != nullptr ? VGPU_CHANNEL_OFFSET(channel_) : 0; }
  int stats_fd() const noexcept { return stats_fd_.get(); }
  /// Not in a VM, where one descriptor serves requests and doorbells.
  int doorbell_fd() const noexcept { return doorbell_.get(); }
  /// All that comes before the arena, and the arena.
  std::uint64_t region_bytes() const noexcept { return region_bytes_; }

  /// The VM's memory, or null; then the channel, and the eventfd that wakes its guest's threads, else -1.
  const VmMemory* vm() const noexcept { return vm_.get(); }
  std::uint32_t channel() const noexcept { return channel_; }
  int interrupt_fd() const noexcept { return vm_ != nullptr ? vm_->interrupt_fd(channel_) : -1; }

  /// Written by the executor, which is no more trusted than its session: any value may stand there.
  const protocol::SessionStats& stats() const noexcept { return *stats_; }

  /// Puts a status where the guest looks for it: at the beginning of staging. False: `error` says why.
  bool write_status(const protocol::Status& status, std::string& error) noexcept;

  /// OPENING becomes OPEN; an ENDED that the executor wrote meanwhile stays.
  void open() noexcept;

  /// Writes reason and result, then ENDED, unless that stands there already; then wakes every sleeping thread.
  void end(vgpu_end_reason reason, std::int32_t result) noexcept;

  /// FUTEX_WAKE on each slot, or the VM's interrupt. A thread that looked at `state` just before it ended and sleeps
  /// just after misses one wake; so this is repeated while a session ends.
  void wake_all() noexcept;

 private:
  SessionMemory() = default;
  bool map(std::string& error);
  void fill_control(std::uint32_t session, std::uint32_t vm, std::uint64_t features) noexcept;
  vgpu_control& control() const noexcept { return *static_cast<vgpu_control*>(mapping_); }

  std::shared_ptr<VmMemory> vm_;
  std::uint32_t channel_ = 0;
  UniqueFd region_;
  UniqueFd stats_fd_;
  UniqueFd doorbell_;
  void* mapping_ = nullptr;  ///< control page and slots only
  protocol::SessionStats* stats_ = nullptr;
  std::uint64_t region_bytes_ = 0;
};

}  // namespace vgpu::daemon
