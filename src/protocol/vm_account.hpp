#pragma once
#include <array>
#include <atomic>
#include <cstdint>

#include "protocol/types.hpp"

namespace vgpu::protocol {

/// What a VM may hold at once, over all its sessions.
enum class Limit : u32 {
  memory,  ///< bytes of device memory
  streams,
  events,
  modules,  ///< and libraries
  graphs,   ///< and executable graphs
  arena,    ///< bytes of page-locked memory
};
inline constexpr u32 kLimits = static_cast<u32>(Limit::arena) + 1;

/// Name of a limit: in messages, and the value of the `limit` label.
constexpr const char* limit_name(u32 limit) noexcept {
  constexpr std::array<const char*, kLimits> names{"memory", "streams", "events", "modules", "graphs", "arena"};
  return limit < names.size() ? names[limit] : "unknown";
}

/// What one VM holds and may hold: a memfd that the daemon makes while the VM has sessions and that all of its
/// executors map (not its guests). Each session has a slot that its executor writes; the daemon clears it when that
/// process is reaped, however it ended. Who takes something raises its own slot first and sums all of them then: of
/// two that race for the last piece at least one sees the other, so that what is held never passes the limit.
struct VmAccount {
  /// More than the sessions that a VM may have at once: a slot is in use until its executor is reaped.
  static constexpr u32 kSlots = 2048;
  static constexpr u32 kMostSessions = 1024;
  using Counter = std::atomic<u64>;
  struct alignas(64) Slot {
    std::array<Counter, kLimits> held;
    Counter ending;  ///< not 0: the session is over, and what its executor holds is about to go; the daemon's to write
  };

  std::array<Counter, kLimits> limits;  ///< 0: none; the daemon's to write
  Counter calls_per_second;             ///< 0: no limit; the daemon's to write
  Counter in_flight;                    ///< submissions of a session under way, at most; 0: no limit; the daemon's
  Counter next_call;                    ///< nanoseconds of CLOCK_MONOTONIC at which calls are paid for; see CallRate
  Counter slots_used;                   ///< no slot from here on was ever given out; the daemon's to write
  alignas(64) std::array<Slot, kSlots> slots;
};
static_assert(std::atomic<u64>::is_always_lock_free);

}  // namespace vgpu::protocol
