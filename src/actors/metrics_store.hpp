#pragma once
#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "actors/gpu_metrics.hpp"
#include "actors/gpus.hpp"
#include "actors/quarantine.hpp"
#include "actors/session_memory.hpp"
#include "actors/vm_accounts.hpp"
#include "actors/wait_histogram.hpp"
#include "protocol/executor_link.hpp"
#include "protocol/layout.h"

namespace vgpu::daemon {

/// What is counted of one session outside of its shared memory.
struct SessionRecord {
  std::uint32_t session = 0;
  std::uint32_t vm = 0;
  std::string pool;
  std::vector<std::string> gpus;  ///< UUIDs of those that it sees, where they are known
  std::shared_ptr<const SessionMemory> memory;
  VmPlacePtr place;      ///< null: its executor is never known to be reaped
  std::int32_t pid = 0;  ///< as the guest says
  std::string process;   ///< program
  std::atomic<std::uint64_t> doorbells{0};
  WaitHistogram waits;  ///< for leases
};
using SessionRecordPtr = std::shared_ptr<SessionRecord>;

/// Sums over one session, or over a VM in a pool.
struct Totals {
  std::uint64_t calls = 0;
  std::uint64_t kernels = 0;
  std::uint64_t doorbells = 0;
  std::array<std::uint64_t, protocol::SessionStats::kDirections> copied{};
  std::uint64_t gpu_nanoseconds = 0;
  double memory_byte_seconds = 0;
  WaitCounts waits;
  std::array<std::uint64_t, protocol::kLimits> refused{};  ///< by protocol::Limit
  std::uint64_t sessions_refused = 0;
  std::uint64_t delayed = 0;
  void add(const Totals& other) noexcept;
};

/// What one guest process with a session has of its GPUs at the moment.
struct ProcessUse {
  std::int32_t pid = 0;  ///< as the guest says
  std::string name;
  std::vector<std::string> gpus;  ///< as in its SessionRecord
  std::uint64_t memory_bytes = 0;
  double gpu_share = 0;  ///< of GPU time, between the last two samples: 0 to 1
};

/// Every number that /metrics shows. Live sessions are read from their shared memory at the scrape; a session that ends
/// leaves its sums behind in the same moment, as far as a scrape can see, so that totals never go backwards. Any
/// thread.
class MetricsStore final : public prometheus::Collectable {
 public:
  /// `quarantine`, `gpus`: whose state is shown; null: none.
  explicit MetricsStore(std::shared_ptr<const Quarantine> quarantine = nullptr,
                        std::shared_ptr<const Gpus> gpus = nullptr)
      : quarantine_(std::move(quarantine)), gpus_(std::move(gpus)) {}

  /// Makes the series of a VM in a pool appear, with 0.
  void declare(std::uint32_t vm, const std::string& pool);

  /// Sessions of the pool may be placed on this GPU.
  void pool_gpu(const std::string& pool, const std::string& uuid);

  /// A part of the executors' sandbox is in force, or is not.
  void sandbox_part(const std::string& part, bool in_force);

  void opened(const SessionRecordPtr& session);
  /// Folds the session into the sums; returns its own. The executor must not write any more.
  Totals closed(const SessionRecordPtr& session);
  void fault(std::uint32_t vm, const std::string& pool, vgpu_end_reason reason);
  void refused(vgpu_end_reason reason);
  /// A VM has as many sessions as it may.
  void session_refused(std::uint32_t vm, const std::string& pool);
  void vm_connected(std::uint32_t vm, const std::string& pool);
  void vm_disconnected(std::uint32_t vm, const std::string& pool);

  std::vector<prometheus::MetricFamily> Collect() const override;

  /// The VM's sessions, the oldest first.
  std::vector<ProcessUse> use_of(std::uint32_t vm) const;

  /// Adds the device memory that each live session holds, times `since_last`, to its sums, and measures shares of GPU
  /// time over it.
  void sample(std::chrono::nanoseconds since_last);
  /// The sums of each VM in each pool, and its faults.
  struct Account {
    std::uint32_t vm = 0;
    std::string pool;
    Totals totals;
    std::uint64_t faults = 0;
  };
  std::vector<Account> accounts() const;

 private:
  static constexpr std::size_t kDirections = protocol::SessionStats::kDirections;
  /// The session's counters as last read. An executor whose memory was damaged could set them back: the highest value
  /// that was seen counts.
  struct Live {
    SessionRecordPtr record;
    Totals totals;
    std::array<std::uint64_t, protocol::kCallCount> calls_by_name{};
    std::array<std::uint64_t, protocol::SessionStats::kMaxNames> unsupported{};
    std::uint64_t gpu_nanoseconds_sampled = 0;
    double gpu_share = 0;
  };
  struct PoolTotals {
    std::array<std::uint64_t, protocol::kCallCount> calls_by_name{};
  };
  using Key = std::pair<std::uint32_t, std::string>;  ///< VM, pool

  Key key_of(std::uint32_t vm, const std::string& pool) const;
  static void read(Live& live);
  /// Device memory that is charged to the session. What a reaped executor held is gone, though its session has not yet
  /// ended.
  static std::uint64_t memory_of(const SessionRecord& record);
  /// Of sessions that are over and those that live. Under the lock.
  std::map<Key, Totals> totals() const;

  const std::shared_ptr<const Quarantine> quarantine_;
  const std::shared_ptr<const Gpus> gpus_;
  mutable std::mutex mutex_;
  std::map<Key, Totals> ended_;
  std::map<std::string, PoolTotals> pools_;
  std::map<std::pair<Key, vgpu_end_reason>, std::uint64_t> faults_;
  std::map<vgpu_end_reason, std::uint64_t> refused_;
  std::map<Key, std::uint64_t> vms_;  ///< QEMUs that are connected
  PoolGpus pool_gpus_;
  std::map<std::string, bool> sandbox_;
  std::array<std::uint64_t, protocol::SessionStats::kMaxNames> unsupported_{};
  mutable std::map<std::uint32_t, std::unique_ptr<Live>> live_;
};

}  // namespace vgpu::daemon
