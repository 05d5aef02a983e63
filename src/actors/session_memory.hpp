#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "common/unique_fd.hpp"
#include "protocol/executor_link.hpp"
#include "protocol/layout.h"

namespace vgpu::daemon {

/// The shared memory of one session: the region (guest, executor and daemon), the counters (executor and daemon) and
/// the doorbell. Both memfds are sealed against any change of size, so that nobody can take pages from under a mapping.
/// Everything goes when the object goes and the other processes are gone. Any thread.
class SessionMemory {
 public:
  /// Makes all of it and fills in the control page. Null: `error` says what the system refused.
  static std::shared_ptr<SessionMemory> create(std::uint64_t region_bytes, std::uint32_t session, std::uint32_t vm,
                                               std::uint64_t features, std::string& error);
  ~SessionMemory();
  SessionMemory(const SessionMemory&) = delete;
  SessionMemory& operator=(const SessionMemory&) = delete;

  int region_fd() const noexcept { return region_.get(); }
  int stats_fd() const noexcept { return stats_fd_.get(); }
  int doorbell_fd() const noexcept { return doorbell_.get(); }
  std::uint64_t region_bytes() const noexcept { return region_bytes_; }

  /// Written by the executor, which is no more trusted than its session: any value may stand there.
  const protocol::SessionStats& stats() const noexcept { return *stats_; }

  /// OPENING becomes OPEN; an ENDED that the executor wrote meanwhile stays.
  void open() noexcept;

  /// Writes reason and result, then ENDED, unless that stands there already; then wakes every sleeping thread.
  void end(vgpu_end_reason reason, std::int32_t result) noexcept;

  /// FUTEX_WAKE on each slot. A thread that looked at `state` just before it ended and sleeps just after misses one
  /// wake; so this is repeated while a session ends.
  void wake_all() noexcept;

 private:
  SessionMemory() = default;
  vgpu_control& control() const noexcept { return *static_cast<vgpu_control*>(mapping_); }

  UniqueFd region_;
  UniqueFd stats_fd_;
  UniqueFd doorbell_;
  void* mapping_ = nullptr;  ///< control page and slots only
  protocol::SessionStats* stats_ = nullptr;
  std::uint64_t region_bytes_ = 0;
};

}  // namespace vgpu::daemon
