#pragma once
#include <chrono>

#include "actors/admin_request.hpp"
#include "actors/config.hpp"
#include "actors/gpus.hpp"
#include "actors/metrics_store.hpp"
#include "actors/quarantine.hpp"

/// What vgpud tells operators of itself. Any thread.
namespace vgpu::daemon {

/// One GPU, or several that a session sees at once, of a pool.
struct PoolPlace {
  std::string pool;
  std::string text;  ///< for people
  std::vector<std::string> uuids;
};

/// Where what is told comes from. Lives as long as the daemon's actors.
struct AdminSources {
  std::shared_ptr<const MetricsStore> store;
  std::shared_ptr<const Gpus> gpus;
  std::shared_ptr<const Quarantine> quarantine;
  std::vector<PoolPlace> places;
  std::chrono::system_clock::time_point started = std::chrono::system_clock::now();
  std::string metrics;  ///< where they are served, or "off"
};

/// For /healthz and `status`: a line for each thing that is wrong.
std::vector<std::string> health_problems(const Gpus& gpus);

Json status_json(const AdminSources& sources, const Config& config);
Json gpus_json(const AdminSources& sources);
Json pools_json(const AdminSources& sources, const Config& config);
/// All VMs of the configuration and those that were seen.
Json vms_json(const AdminSources& sources, const Config& config);
Json sessions_json(const AdminSources& sources);

}  // namespace vgpu::daemon
