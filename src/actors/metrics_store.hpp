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

#include "actors/config.hpp"
#include "actors/gpu_metrics.hpp"
#include "actors/gpus.hpp"
#include "actors/quarantine.hpp"
#include "actors/session_totals.hpp"
#include "actors/usage_metrics.hpp"
#include "protocol/executor_link.hpp"
#include "protocol/layout.h"

namespace vgpu::daemon {

/// Every number that /metrics shows. Live sessions are read from their shared memory at the scrape; a session that ends
/// leaves its sums behind in the same moment, as far as a scrape can see, so that totals never go backwards. Any
/// thread.
class MetricsStore final : public prometheus::Collectable {
 public:
  /// `quarantine`, `gpus`: whose state is shown; null: none.
  explicit MetricsStore(std::shared_ptr<const Quarantine> quarantine = nullptr,
                        std::shared_ptr<const Gpus> gpus = nullptr)
      : quarantine_(std::move(quarantine)), gpus_(std::move(gpus)) {}

  /// This is the configuration from now on: its pools and VMs have series, also those that never connect.
  void configured(ConfigPtr config);
  /// The daemon read its configuration again, or for the first time, at `now`; whether it was applied.
  void reloaded(bool applied, std::chrono::system_clock::time_point now);

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
    std::uint64_t sessions = 0;      ///< that live
    std::uint64_t memory_bytes = 0;  ///< that is charged to them
    std::uint64_t qemus = 0;         ///< that are connected
  };
  std::vector<Account> accounts() const;
  /// The sessions that live, with what was counted of each.
  struct LiveSession {
    SessionRecordPtr record;
    Totals totals;
    std::uint64_t memory_bytes = 0;
  };
  std::vector<LiveSession> sessions() const;

 private:
  using Unsupported = std::array<std::uint64_t, protocol::SessionStats::kMaxNames>;
  /// The session's counters as last read; see Totals::read().
  struct Live {
    SessionRecordPtr record;
    Totals totals;
    CallsByName calls_by_name{};
    Unsupported unsupported{};
    std::uint64_t gpu_nanoseconds_sampled = 0;
    double gpu_share = 0;
  };
  using Key = std::pair<std::uint32_t, std::string>;  ///< VM, pool

  Key key_of(std::uint32_t vm, const std::string& pool) const;
  static void read(Live& live);
  /// Under the lock.
  std::map<Key, Usage> usage() const;
  std::vector<prometheus::MetricFamily> host_metrics() const;
  /// Of sessions that are over and those that live. Under the lock.
  std::map<Key, Totals> totals() const;

  const std::shared_ptr<const Quarantine> quarantine_;
  const std::shared_ptr<const Gpus> gpus_;
  mutable std::mutex mutex_;
  std::map<Key, Totals> ended_;
  std::map<Key, CallsByName> ended_calls_;
  std::map<std::pair<Key, vgpu_end_reason>, std::uint64_t> faults_;
  std::map<vgpu_end_reason, std::uint64_t> refused_;
  std::map<Key, std::uint64_t> vms_;  ///< QEMUs that are connected
  PoolGpus pool_gpus_;
  std::map<std::string, bool> sandbox_;
  Unsupported unsupported_{};
  ConfigPtr config_;            ///< null: none was said
  bool reload_applied_ = true;  ///< the last one
  double applied_at_ = 0;       ///< the last that was applied, in seconds since the epoch
  mutable std::map<std::uint32_t, std::unique_ptr<Live>> live_;
};

}  // namespace vgpu::daemon
