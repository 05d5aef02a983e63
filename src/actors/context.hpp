#pragma once
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "actors/call_traces.hpp"
#include "actors/config.hpp"
#include "actors/gpus.hpp"
#include "actors/image_folders.hpp"
#include "actors/interfaces.hpp"
#include "actors/placement.hpp"
#include "actors/ports.hpp"
#include "actors/quarantine.hpp"
#include "actors/vm_accounts.hpp"

namespace vgpu::daemon {

/// Deadlines, in one place so that a test can see them all.
struct Deadlines {
  std::chrono::milliseconds hello{5'000};            ///< from the connection to its Hello
  std::chrono::milliseconds executor_ready{30'000};  ///< from fork to `ready`: cuInit and a context take about a second
  std::chrono::milliseconds executor_stop{2'000};    ///< from `stop` to SIGKILL
};

/// One pool as the connections see it: for each of its GPUs what sessions there get, and who gives their leases.
struct Pool {
  struct Member {
    GpuPlace place;
    pool_scheduler_actor scheduler;
  };
  std::vector<Member> members;
};

/// What the actors share. Made once before the first connection, then only read, but for what is said to change.
struct Context {
  /// The configuration as it is now: a reload puts another one in its place. Any thread.
  ConfigPtr config() const { return config_.load(); }
  template <typename Visit>
  void for_each_member(Visit visit) const {
    for (const auto& [name, pool] : pools)
      for (const Pool::Member& member : pool.members) visit(name, member);
  }
  /// Of each place of a pool, whether its GPUs are healthy. `why`: what ails one that is not.
  std::vector<bool> healthy_places(const std::string& pool, std::string& why) const {
    std::vector<bool> places;
    for (const Pool::Member& member : pools.at(pool).members) {
      std::string ailment = gpus->unhealthy(member.place.uuids);
      places.push_back(ailment.empty());
      if (!ailment.empty()) why = std::move(ailment);
    }
    return places;
  }
  /// The drivers of the places that sessions may get now. A GPU that is drained or unhealthy is not among them: its
  /// operator may want to reset it, and nothing may hold it open.
  std::vector<Driver> open_drivers() const {
    const ConfigPtr now = config();
    std::vector<Driver> drivers;
    for_each_member([&](const std::string& name, const Pool::Member& member) {
      const PoolConfig* const pool = now->pool(name);
      if (pool != nullptr && !pool->drained && gpus->unhealthy(member.place.uuids).empty())
        drivers.push_back(member.place.driver);
    });
    return drivers;
  }
  void set_config(Config config) { config_.store(std::make_shared<const Config>(std::move(config))); }

  Deadlines deadlines;
  std::filesystem::path executor_program;
  uid_t own_uid = 0;
  std::size_t most_connections = 1024;
  std::map<std::string, Pool> pools;
  metrics_actor metrics;
  std::shared_ptr<const MetricsStore> books;  ///< that `metrics` keeps
  StartExecutor start_executor;
  std::unique_ptr<ImageFolders> images;  ///< null: none are kept
  std::shared_ptr<Gpus> gpus = std::make_shared<Gpus>();
  mutable Placement placement;
  mutable VmAccounts accounts;
  mutable CallTraces traces;
  std::shared_ptr<Quarantine> quarantine = std::make_shared<Quarantine>();
  mutable std::atomic<std::uint32_t> sessions{0};  ///< the number of the last session

 private:
  std::atomic<ConfigPtr> config_;
};
using ContextPtr = std::shared_ptr<const Context>;

}  // namespace vgpu::daemon
