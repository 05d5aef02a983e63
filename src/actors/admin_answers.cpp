#include "actors/admin_answers.hpp"

#include <unistd.h>

#include <algorithm>
#include <set>

#include "actors/build_info.hpp"
#include "common/log.hpp"
#include "protocol/catalogue.hpp"

namespace vgpu::daemon {
namespace {

using protocol::SessionStats;

const char* priority_text(Priority priority) {
  constexpr std::array<const char*, kPriorities> names{"low", "medium", "high"};
  return names[static_cast<std::size_t>(priority)];
}

double seconds(std::chrono::system_clock::duration time) { return std::chrono::duration<double>(time).count(); }

Json counts_json(const Totals& totals) {
  Json waits{{"bounds_seconds", kWaitBounds}, {"counts", totals.waits.buckets}};
  Json json{{"calls", totals.calls},
            {"kernels", totals.kernels},
            {"gpu_seconds", static_cast<double>(totals.gpu_nanoseconds) / 1e9}};
  for (std::uint32_t i = 0; i < SessionStats::kDirections; ++i)
    json["copied_bytes"][protocol::direction_name(i)] = totals.copied[i];
  json["lease_waits"] = std::move(waits);
  return json;
}

Json limits_json(const Limits& limits) {
  Json json = Json::object();
  for (std::uint32_t i = 0; i < protocol::kLimits; ++i)
    if (limits.most[i] != 0) json[protocol::limit_name(i)] = limits.most[i];
  json["sessions"] = limits.sessions;
  if (limits.in_flight != 0) json["in_flight"] = limits.in_flight;
  if (limits.calls_per_second != 0) json["calls_per_second"] = limits.calls_per_second;
  return json;
}

/// A VM's sums over all pools in which it was.
struct VmSums {
  Totals totals;
  std::uint64_t sessions = 0, memory = 0, faults = 0, qemus = 0;
  std::string pool;  ///< of one that is not configured: where it was last seen
};

std::map<std::uint32_t, VmSums> sums_by_vm(const MetricsStore& store, const Config& config) {
  std::map<std::uint32_t, VmSums> sums;
  for (const VmConfig& vm : config.vms) sums[vm.id];
  for (const MetricsStore::Account& account : store.accounts()) {
    const bool seen = account.totals.calls != 0 || account.sessions != 0 || account.qemus != 0 || account.faults != 0;
    if (!seen && config.vm(account.vm) == nullptr) continue;
    VmSums& vm = sums[account.vm];
    vm.totals.add(account.totals);
    vm.sessions += account.sessions;
    vm.memory += account.memory_bytes;
    vm.faults += account.faults;
    vm.qemus += account.qemus;
    if (vm.pool.empty() || account.sessions != 0) vm.pool = account.pool;
  }
  return sums;
}

template <typename T>
void put(Json& json, const char* key, const std::optional<T>& value) {
  if (value) json[key] = *value;
}

}  // namespace

std::vector<std::string> health_problems(const Gpus& gpus) {
  std::vector<std::string> problems;
  for (const GpuState& state : gpus.states())
    if (!state.unhealthy.empty()) problems.push_back("gpu " + state.gpu.uuid + " is unhealthy: " + state.unhealthy);
  return problems;
}

Json status_json(const AdminSources& sources, const Config& config) {
  const std::vector<std::string> problems = health_problems(*sources.gpus);
  std::uint64_t sessions = 0, connected = 0;
  for (const auto& [vm, sum] : sums_by_vm(*sources.store, config)) {
    sessions += sum.sessions;
    connected += sum.qemus != 0 || sum.sessions != 0;
  }
  std::vector<std::string> drained;
  for (const PoolConfig& pool : config.pools)
    if (pool.drained) drained.push_back(pool.name);
  return {{"version", kVersion},
          {"pid", ::getpid()},
          {"uptime_seconds", seconds(std::chrono::system_clock::now() - sources.started)},
          {"healthy", problems.empty()},
          {"problems", problems},
          {"config", config.file.string()},
          {"socket", config.socket.string()},
          {"qemu_socket", config.qemu_socket.string()},
          {"admin_socket", config.admin_socket.string()},
          {"metrics", sources.metrics},
          {"state", config.state.string()},
          {"log_level", log::level_text(log::level())},
          {"gpus", sources.gpus->states().size()},
          {"pools", config.pools.size()},
          {"vms", config.vms.size()},
          {"vms_active", connected},
          {"sessions", sessions},
          {"quarantined", sources.quarantine->all()},
          {"drained", drained}};
}

Json gpus_json(const AdminSources& sources) {
  Json all = Json::array();
  for (const auto& [gpu, readings, xids, unhealthy] : sources.gpus->states()) {
    std::set<std::string> pools;
    for (const PoolPlace& place : sources.places)
      if (std::find(place.uuids.begin(), place.uuids.end(), gpu.uuid) != place.uuids.end()) pools.insert(place.pool);
    Json json{{"uuid", gpu.uuid},
              {"name", gpu.name},
              {"index", gpu.index},
              {"pci_bus_id", gpu.pci_bus_id},
              {"compute_capability", std::to_string(gpu.compute_major) + "." + std::to_string(gpu.compute_minor)},
              {"driver_version", gpu.driver_version},
              {"pools", pools},
              {"healthy", unhealthy.empty()},
              {"reason", unhealthy},
              {"memory_bytes", gpu.memory_bytes}};
    put(json, "memory_used_bytes", readings.memory_used_bytes);
    put(json, "utilization", readings.utilization);
    put(json, "memory_utilization", readings.memory_utilization);
    put(json, "temperature_celsius", readings.temperature_celsius);
    put(json, "power_watts", readings.power_watts);
    put(json, "power_limit_watts", readings.power_limit_watts);
    put(json, "sm_clock_hertz", readings.sm_clock_hertz);
    put(json, "memory_clock_hertz", readings.memory_clock_hertz);
    put(json, "ecc_corrected", readings.ecc_corrected);
    put(json, "ecc_uncorrected", readings.ecc_uncorrected);
    json["xids"] = Json::object();
    for (const auto& [xid, count] : xids) json["xids"][std::to_string(xid)] = count;
    all.push_back(std::move(json));
  }
  return all;
}

Json pools_json(const AdminSources& sources, const Config& config) {
  Json all = Json::array();
  const std::vector<MetricsStore::Account> accounts = sources.store->accounts();
  for (const PoolConfig& pool : config.pools) {
    Json gpus = Json::array();
    for (const PoolPlace& place : sources.places) {
      if (place.pool != pool.name) continue;
      gpus.push_back(
          {{"gpu", place.text}, {"uuids", place.uuids}, {"healthy", sources.gpus->unhealthy(place.uuids).empty()}});
    }
    std::uint64_t sessions = 0, memory = 0, nanoseconds = 0, active = 0;
    for (const MetricsStore::Account& account : accounts) {
      if (account.pool != pool.name) continue;
      sessions += account.sessions;
      active += account.sessions != 0;
      memory += account.memory_bytes;
      nanoseconds += account.totals.gpu_nanoseconds;
    }
    const auto vms =
        std::count_if(config.vms.begin(), config.vms.end(), [&](const VmConfig& vm) { return vm.pool == pool.name; });
    all.push_back({{"name", pool.name},
                   {"state", pool.drained ? "drained" : "open"},
                   {"policy", pool.policy == PoolConfig::Policy::fair ? "fair" : "concurrent"},
                   {"quantum_microseconds", pool.fair.quantum.count()},
                   {"floor_percent", pool.fair.floor * 100},
                   {"gpus", std::move(gpus)},
                   {"vms", vms},
                   {"vms_active", active},
                   {"sessions", sessions},
                   {"memory_used_bytes", memory},
                   {"gpu_seconds", static_cast<double>(nanoseconds) / 1e9}});
  }
  return all;
}

Json vms_json(const AdminSources& sources, const Config& config) {
  Json all = Json::array();
  for (const auto& [id, sum] : sums_by_vm(*sources.store, config)) {
    const VmConfig* const vm = config.vm(id);
    const Tenant tenant = config.tenant(id);
    const Limits& limits = config.limits_of(id);
    const bool quarantined = sources.quarantine->holds(id);
    Json json{{"id", id},
              {"name", vm != nullptr ? vm->name : ""},
              {"uuid", vm != nullptr ? vm->uuid : ""},
              {"registered", vm != nullptr},
              {"pool", sum.sessions != 0 || vm == nullptr ? sum.pool : vm->pool},
              {"state", quarantined         ? "quarantined"
                        : sum.sessions != 0 ? "active"
                        : sum.qemus != 0    ? "connected"
                                            : "idle"},
              {"quarantined", quarantined},
              {"connected", sum.qemus != 0},
              {"weight", tenant.weight},
              {"priority", priority_text(tenant.priority)},
              {"max_kernel_seconds", tenant.longest_overrun.count() / 1000},
              {"limits", limits_json(limits)},
              {"set", vm != nullptr ? Json(vm->settings) : Json::object()},
              {"sessions", sum.sessions},
              {"memory_used_bytes", sum.memory},
              {"faults", sum.faults}};
    json.update(counts_json(sum.totals));
    all.push_back(std::move(json));
  }
  return all;
}

Json sessions_json(const AdminSources& sources) {
  Json all = Json::array();
  const auto now = std::chrono::system_clock::now();
  for (const MetricsStore::LiveSession& live : sources.store->sessions()) {
    const SessionRecord& record = *live.record;
    Json json{{"session", record.session},
              {"vm", record.vm},
              {"pool", record.pool},
              {"gpus", record.gpus},
              {"pid", record.pid},
              {"uid", record.uid},
              {"process", record.process},
              {"age_seconds", seconds(now - record.opened)},
              {"memory_used_bytes", live.memory_bytes}};
    json.update(counts_json(live.totals));
    all.push_back(std::move(json));
  }
  return all;
}

}  // namespace vgpu::daemon
