#pragma once
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "actors/session_memory.hpp"
#include "actors/vm_accounts.hpp"
#include "actors/wait_histogram.hpp"
#include "protocol/executor_link.hpp"

namespace vgpu::daemon {

/// What a session has of the GPU at the moment.
enum class LeaseState : std::uint8_t {
  none,     ///< nothing to do
  waiting,  ///< it has work and no lease
  held,
};

/// What is counted of one session outside of its shared memory.
struct SessionRecord {
  std::uint32_t session = 0;
  std::uint32_t vm = 0;
  std::string pool;
  std::vector<std::string> gpus;  ///< UUIDs of those that it sees, where they are known
  std::string process;            ///< program, as the guest or else its kernel says
  std::int64_t pid = 0;           ///< as the guest's kernel numbers it
  std::int64_t uid = 0;
  std::chrono::system_clock::time_point opened = std::chrono::system_clock::now();
  std::shared_ptr<const SessionMemory> memory;
  VmPlacePtr place;            ///< null: its executor is never known to be reaped
  std::int32_t guest_pid = 0;  ///< as the guest says
  std::atomic<std::uint64_t> doorbells{0};
  std::atomic<LeaseState> lease{LeaseState::none};
  WaitHistogram waits;  ///< for leases
};
using SessionRecordPtr = std::shared_ptr<SessionRecord>;

/// Times that records lay in rings; see executor/queue_delay.hpp.
using QueueDelayCounts = TimeCounts<protocol::kQueueDelayBounds>;

/// Sums over one session, or over a VM in a pool.
struct Totals {
  std::uint64_t calls = 0;
  std::uint64_t sync_calls = 0;
  std::uint64_t kernels = 0;
  std::uint64_t doorbells = 0;
  std::uint64_t sleeps = 0;
  std::uint64_t ring_full_waits = 0;
  std::array<std::uint64_t, protocol::SessionStats::kDirections> copied{};
  std::uint64_t gpu_nanoseconds = 0;
  double memory_byte_seconds = 0;
  WaitCounts waits;
  QueueDelayCounts queue_delays;
  std::array<std::uint64_t, protocol::kLimits> refused{};  ///< by protocol::Limit
  std::uint64_t sessions_refused = 0;
  std::uint64_t delayed = 0;

  void add(const Totals& other) noexcept;
  /// Takes over what the session has counted by now. An executor or a guest whose memory was damaged could set counters
  /// back: the highest value that was seen counts.
  void read(const SessionRecord& session) noexcept;
};

/// Device memory that is charged to the session. What a reaped executor held is gone, though its session has not yet
/// ended.
std::uint64_t memory_of(const SessionRecord& session) noexcept;

/// What one guest process with a session has of its GPUs at the moment.
struct ProcessUse {
  std::int32_t pid = 0;  ///< as the guest says
  std::string name;
  std::vector<std::string> gpus;  ///< as in its SessionRecord
  std::uint64_t memory_bytes = 0;
  double gpu_share = 0;  ///< of GPU time, between the last two samples: 0 to 1
};

/// What sessions hold at the moment.
struct Holdings {
  std::uint64_t sessions = 0;
  std::uint64_t memory = 0;                             ///< bytes of device memory
  std::array<std::uint64_t, protocol::kLimits> held{};  ///< by protocol::Limit; of memory: nothing
  std::array<std::uint64_t, 3> leases{};                ///< sessions by LeaseState

  void add(const SessionRecord& session) noexcept;
};

/// Calls by name, by their index in the catalogue.
using CallsByName = std::array<std::uint64_t, protocol::kCallCount>;

}  // namespace vgpu::daemon
