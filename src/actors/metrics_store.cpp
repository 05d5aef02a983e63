#include "actors/metrics_store.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <set>

#include "actors/build_info.hpp"
#include "actors/config_metrics.hpp"
#include "actors/gpu_metrics.hpp"
#include "actors/metric_family.hpp"
#include "actors/process_metrics.hpp"
#include "common/cuda_names.hpp"
#include "protocol/end_reason.hpp"
#include "protocol/session.hpp"

namespace vgpu::daemon {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;
using protocol::SessionStats;

/// VM ids come from users who may choose them freely; beyond so many series they share one.
constexpr std::size_t kMostSeries = 1024;
constexpr std::uint32_t kOtherVms = protocol::kNoVm;

/// Why connections are refused. These have series from the beginning, so that a first refusal is seen to rise.
constexpr vgpu_end_reason kRefusals[] = {VGPU_END_BAD_REQUEST,    VGPU_END_VERSION, VGPU_END_EXECUTOR_DIED,
                                         VGPU_END_EXECUTOR_START, VGPU_END_LIMIT,   VGPU_END_INTERNAL};

void raise(std::uint64_t& seen, const SessionStats::Counter& counter) noexcept {
  seen = std::max(seen, counter.load(std::memory_order_relaxed));
}

/// The memory that a session held, over time. Its executor writes no more: while it does, the three numbers may not
/// belong together, and samples tell.
double byte_seconds_of(const SessionStats& stats) noexcept {
  const std::uint64_t changed = stats.memory_changed.load(std::memory_order_relaxed);
  const auto now = static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  if (changed == 0 || changed > now) return 0;
  const double seconds = static_cast<double>(now - changed) / 1e9;
  const double sum = stats.memory_byte_seconds.load(std::memory_order_relaxed) +
                     static_cast<double>(stats.memory_used_bytes.load(std::memory_order_relaxed)) * seconds;
  return std::isfinite(sum) ? sum : 0;
}

}  // namespace

MetricsStore::Key MetricsStore::key_of(std::uint32_t vm, const std::string& pool) const {
  Key key{vm, pool};
  if (ended_.size() >= kMostSeries && !ended_.contains(key)) key.first = kOtherVms;
  return key;
}

void MetricsStore::read(Live& live) {
  const SessionStats& stats = live.record->memory->stats();
  live.totals.read(*live.record);
  for (std::size_t i = 0; i < live.calls_by_name.size(); ++i) raise(live.calls_by_name[i], stats.calls_by_name[i]);
  for (std::size_t i = 0; i < live.unsupported.size(); ++i) raise(live.unsupported[i], stats.unsupported_by_name[i]);
}

void MetricsStore::configured(ConfigPtr config) {
  for (const PoolConfig& pool : config->pools) declare(0, pool.name);
  for (const VmConfig& vm : config->vms) declare(vm.id, vm.pool);
  const std::lock_guard lock(mutex_);
  config_ = std::move(config);
}

void MetricsStore::reloaded(bool applied, std::chrono::system_clock::time_point now) {
  const std::lock_guard lock(mutex_);
  reload_applied_ = applied;
  if (applied) applied_at_ = std::chrono::duration<double>(now.time_since_epoch()).count();
}

void MetricsStore::declare(std::uint32_t vm, const std::string& pool) {
  const std::lock_guard lock(mutex_);
  ended_.try_emplace(key_of(vm, pool));
}

void MetricsStore::pool_gpu(const std::string& pool, const std::string& uuid) {
  const std::lock_guard lock(mutex_);
  pool_gpus_.emplace(pool, uuid);
}

void MetricsStore::sandbox_part(const std::string& part, bool in_force) {
  const std::lock_guard lock(mutex_);
  sandbox_[part] = in_force;
}

void MetricsStore::opened(const SessionRecordPtr& session) {
  const std::lock_guard lock(mutex_);
  ended_.try_emplace(key_of(session->vm, session->pool));
  auto live = std::make_unique<Live>();
  live->record = session;
  live_[session->session] = std::move(live);
}

Totals MetricsStore::closed(const SessionRecordPtr& session) {
  const std::lock_guard lock(mutex_);
  const auto found = live_.find(session->session);
  if (found == live_.end()) return {};
  Live& live = *found->second;
  read(live);
  live.totals.memory_byte_seconds =
      std::max(live.totals.memory_byte_seconds, byte_seconds_of(session->memory->stats()));
  const Key key = key_of(session->vm, session->pool);
  ended_[key].add(live.totals);
  CallsByName& calls = ended_calls_[key];
  for (std::size_t i = 0; i < calls.size(); ++i) calls[i] += live.calls_by_name[i];
  for (std::size_t i = 0; i < unsupported_.size(); ++i) unsupported_[i] += live.unsupported[i];
  const Totals totals = live.totals;
  live_.erase(found);
  return totals;
}

void MetricsStore::fault(std::uint32_t vm, const std::string& pool, vgpu_end_reason reason) {
  const std::lock_guard lock(mutex_);
  ++faults_[{key_of(vm, pool), reason}];
}

void MetricsStore::refused(vgpu_end_reason reason) {
  const std::lock_guard lock(mutex_);
  ++refused_[reason];
}

void MetricsStore::session_refused(std::uint32_t vm, const std::string& pool) {
  const std::lock_guard lock(mutex_);
  ++ended_[key_of(vm, pool)].sessions_refused;
}

void MetricsStore::vm_connected(std::uint32_t vm, const std::string& pool) {
  const std::lock_guard lock(mutex_);
  ended_.try_emplace(key_of(vm, pool));
  ++vms_[key_of(vm, pool)];
}

void MetricsStore::vm_disconnected(std::uint32_t vm, const std::string& pool) {
  const std::lock_guard lock(mutex_);
  if (auto& count = vms_[key_of(vm, pool)]; count != 0) --count;
}

void MetricsStore::sample(std::chrono::nanoseconds since_last) {
  const std::lock_guard lock(mutex_);
  const double seconds = std::chrono::duration<double>(since_last).count();
  for (const auto& [id, live] : live_) {
    const protocol::SessionStats& stats = live->record->memory->stats();
    live->totals.memory_byte_seconds +=
        seconds * static_cast<double>(stats.memory_used_bytes.load(std::memory_order_relaxed));
    raise(live->totals.gpu_nanoseconds, stats.gpu_nanoseconds);
    const std::uint64_t used =
        live->totals.gpu_nanoseconds - std::exchange(live->gpu_nanoseconds_sampled, live->totals.gpu_nanoseconds);
    live->gpu_share = seconds > 0 ? std::min(static_cast<double>(used) / 1e9 / seconds, 1.0) : 0;
  }
}

std::vector<ProcessUse> MetricsStore::use_of(std::uint32_t vm) const {
  std::vector<ProcessUse> use;
  const std::lock_guard lock(mutex_);
  for (const auto& [id, live] : live_) {
    const SessionRecord& record = *live->record;
    if (record.vm == vm)
      use.push_back({record.guest_pid, record.process, record.gpus, memory_of(record), live->gpu_share});
  }
  return use;
}

std::map<MetricsStore::Key, Totals> MetricsStore::totals() const {
  std::map<Key, Totals> sums = ended_;
  for (const auto& [id, live] : live_) {
    read(*live);
    sums[key_of(live->record->vm, live->record->pool)].add(live->totals);
  }
  return sums;
}

std::vector<MetricsStore::Account> MetricsStore::accounts() const {
  const std::lock_guard lock(mutex_);
  std::map<Key, std::uint64_t> faults;
  for (const auto& [key, count] : faults_) faults[key.first] += count;
  const std::map<Key, Totals> sums = totals();                 // reads the live ones
  std::map<Key, std::pair<std::uint64_t, std::uint64_t>> now;  // sessions, memory
  for (const auto& [id, live] : live_) {
    auto& [sessions, memory] = now[key_of(live->record->vm, live->record->pool)];
    ++sessions;
    memory += memory_of(*live->record);
  }
  std::vector<Account> accounts;
  for (const auto& [key, sum] : sums) {
    const auto qemus = vms_.find(key);
    accounts.push_back({key.first, key.second, sum, faults[key], now[key].first, now[key].second,
                        qemus != vms_.end() ? qemus->second : 0});
  }
  return accounts;
}

std::vector<MetricsStore::LiveSession> MetricsStore::sessions() const {
  const std::lock_guard lock(mutex_);
  std::vector<LiveSession> sessions;
  for (const auto& [id, live] : live_) {
    read(*live);
    sessions.push_back({live->record, live->totals, memory_of(*live->record)});
  }
  return sessions;
}

std::map<MetricsStore::Key, Usage> MetricsStore::usage() const {
  std::map<Key, Usage> all;
  for (const auto& [key, sum] : totals()) {  // reads the live ones
    Usage& usage = all[key];
    usage.totals = sum;
    usage.quarantined = quarantine_ != nullptr && quarantine_->holds(key.first);
  }
  for (const auto& [key, calls] : ended_calls_) all[key].calls_by_name = calls;
  for (const auto& [id, live] : live_) {
    Usage& usage = all[key_of(live->record->vm, live->record->pool)];
    usage.now.add(*live->record);
    for (std::size_t i = 0; i < usage.calls_by_name.size(); ++i) usage.calls_by_name[i] += live->calls_by_name[i];
  }
  for (const auto& [key, count] : vms_) all[key].qemus = count;
  for (const auto& [key, count] : faults_) all[key.first].faults[key.second] = count;
  return all;
}

std::vector<MetricFamily> MetricsStore::host_metrics() const {
  Family refused("vgpu_connections_refused_total", "Connections that got no session.", MetricType::Counter);
  Family unsupported("vgpu_unsupported_calls_total", "CUDA calls that are not carried and returned an error.",
                     MetricType::Counter);
  Family sandbox("vgpu_executor_sandbox", "1 where this part of the executors' sandbox is in force.",
                 MetricType::Gauge);
  Family reload("vgpu_config_last_reload_successful", "1 if the last reading of the configuration was applied.",
                MetricType::Gauge);
  Family applied("vgpu_config_last_reload_success_timestamp_seconds",
                 "When a configuration was last applied, since the epoch.", MetricType::Gauge);
  Family build("vgpu_build_info", "What this daemon is; the value is always 1.", MetricType::Gauge);
  std::map<vgpu_end_reason, std::uint64_t> refusals = refused_;
  for (const vgpu_end_reason reason : kRefusals) refusals.try_emplace(reason, 0);
  for (const auto& [reason, count] : refusals) refused.add({{"reason", protocol::end_reason_text(reason)}}, count);
  Unsupported names = unsupported_;
  for (const auto& [id, live] : live_)
    for (std::size_t i = 0; i < names.size(); ++i) names[i] += live->unsupported[i];
  const auto known = cuda_names();
  for (std::size_t i = 0; i < names.size(); ++i)
    if (names[i] != 0) unsupported.add({{"call", i < known.size() ? std::string(known[i]) : "unknown"}}, names[i]);
  for (const auto& [part, in_force] : sandbox_) sandbox.add({{"part", part}}, std::uint64_t{in_force ? 1u : 0u});
  reload.add({}, std::uint64_t{reload_applied_ ? 1u : 0u});
  applied.add({}, applied_at_);
  build.add({{"version", kVersion},
             {"cuda_toolkit", kCudaToolkit},
             {"protocol", std::to_string(VGPU_VERSION_MAJOR) + "." + std::to_string(VGPU_VERSION_MINOR)}},
            std::uint64_t{1});
  std::vector<MetricFamily> families;
  for (Family* family : {&refused, &unsupported, &sandbox, &reload, &applied, &build})
    if (!family->empty()) families.push_back(family->take());
  return families;
}

std::vector<MetricFamily> MetricsStore::Collect() const {
  std::vector<MetricFamily> families;
  const auto append = [&](std::vector<MetricFamily> more) {
    families.insert(families.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  };
  UsageMetrics used;
  std::set<std::uint32_t> vms;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, usage] : usage()) {
      used.add(key.first, key.second, usage);
      if (key.first != kOtherVms) vms.insert(key.first);
    }
    append(host_metrics());
    if (config_ != nullptr) append(config_metrics(*config_, vms));
  }
  append(used.take());
  if (gpus_ != nullptr) append(gpu_metrics(gpus_->states(), pool_gpus_));
  append(process_metrics());
  return families;
}

}  // namespace vgpu::daemon
