#include "actors/metrics_store.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "actors/build_info.hpp"
#include "actors/gpu_metrics.hpp"
#include "actors/metric_family.hpp"
#include "common/cuda_names.hpp"
#include "protocol/catalogue.hpp"
#include "protocol/end_reason.hpp"
#include "protocol/session.hpp"

namespace vgpu::daemon {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using protocol::SessionStats;

/// VM ids come from users who may choose them freely; beyond so many series they share one.
constexpr std::size_t kMostSeries = 4096;
constexpr std::uint32_t kOtherVms = protocol::kNoVm;

std::string vm_text(std::uint32_t vm) { return vm == kOtherVms ? "other" : std::to_string(vm); }

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

void Totals::add(const Totals& other) noexcept {
  calls += other.calls;
  kernels += other.kernels;
  doorbells += other.doorbells;
  for (std::size_t i = 0; i < copied.size(); ++i) copied[i] += other.copied[i];
  gpu_nanoseconds += other.gpu_nanoseconds;
  memory_byte_seconds += other.memory_byte_seconds;
  waits.add(other.waits);
  for (std::size_t i = 0; i < refused.size(); ++i) refused[i] += other.refused[i];
  sessions_refused += other.sessions_refused;
  delayed += other.delayed;
}

MetricsStore::Key MetricsStore::key_of(std::uint32_t vm, const std::string& pool) const {
  Key key{vm, pool};
  if (ended_.size() >= kMostSeries && !ended_.contains(key)) key.first = kOtherVms;
  return key;
}

void MetricsStore::read(Live& live) {
  const SessionStats& stats = live.record->memory->stats();
  raise(live.totals.calls, stats.calls_processed);
  raise(live.totals.kernels, stats.kernels_launched);
  raise(live.totals.doorbells, live.record->doorbells);
  raise(live.totals.gpu_nanoseconds, stats.gpu_nanoseconds);
  live.totals.waits = live.record->waits.read();
  for (std::size_t i = 0; i < kDirections; ++i) raise(live.totals.copied[i], stats.copied_bytes[i]);
  for (std::size_t i = 0; i < protocol::kLimits; ++i) raise(live.totals.refused[i], stats.refused[i]);
  raise(live.totals.delayed, stats.calls_delayed);
  for (std::size_t i = 0; i < live.calls_by_name.size(); ++i) raise(live.calls_by_name[i], stats.calls_by_name[i]);
  for (std::size_t i = 0; i < live.unsupported.size(); ++i) raise(live.unsupported[i], stats.unsupported_by_name[i]);
}

void MetricsStore::declare(std::uint32_t vm, const std::string& pool) {
  const std::lock_guard lock(mutex_);
  ended_.try_emplace(key_of(vm, pool));
  pools_.try_emplace(pool);
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
  pools_.try_emplace(session->pool);
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
  ended_[key_of(session->vm, session->pool)].add(live.totals);
  PoolTotals& pool = pools_[session->pool];
  for (std::size_t i = 0; i < pool.calls_by_name.size(); ++i) pool.calls_by_name[i] += live.calls_by_name[i];
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

std::uint64_t MetricsStore::memory_of(const SessionRecord& record) {
  if (record.place != nullptr && record.place->is_reaped()) return 0;
  return record.memory->stats().memory_used_bytes.load(std::memory_order_relaxed);
}

std::vector<ProcessUse> MetricsStore::use_of(std::uint32_t vm) const {
  std::vector<ProcessUse> use;
  const std::lock_guard lock(mutex_);
  for (const auto& [id, live] : live_) {
    const SessionRecord& record = *live->record;
    if (record.vm == vm) use.push_back({record.pid, record.process, record.gpus, memory_of(record), live->gpu_share});
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
  std::vector<Account> accounts;
  for (auto& [key, sum] : totals()) accounts.push_back({key.first, key.second, sum, faults[key]});
  return accounts;
}

std::vector<MetricFamily> MetricsStore::Collect() const {
  Family calls("vgpu_calls_processed_total", "CUDA calls that executors have processed.", MetricType::Counter);
  Family by_name("vgpu_calls_by_name_total", "CUDA calls that executors have processed, by name.", MetricType::Counter);
  Family doorbells("vgpu_doorbells_total", "Doorbells that guests have rung.", MetricType::Counter);
  Family sessions("vgpu_sessions", "Sessions that are open.", MetricType::Gauge);
  Family vms("vgpu_vm_connected", "1 while the VM's QEMU is connected.", MetricType::Gauge);
  Family kernels("vgpu_kernels_launched_total", "Kernels that were launched.", MetricType::Counter);
  Family copied("vgpu_copied_bytes_total", "Bytes that copies have moved.", MetricType::Counter);
  Family memory("vgpu_memory_used_bytes", "GPU memory that is charged to sessions.", MetricType::Gauge);
  Family limited("vgpu_limit_refusals_total", "What a limit of a VM did not allow.", MetricType::Counter);
  Family delayed("vgpu_calls_delayed_total", "Times that a session's calls waited for the VM's calls per second.",
                 MetricType::Counter);
  Family gpu("vgpu_gpu_seconds_total", "GPU time that leases used.", MetricType::Counter);
  Family byte_seconds("vgpu_memory_byte_seconds_total", "GPU memory held, over time.", MetricType::Counter);
  Family waits("vgpu_lease_wait_seconds", "How long sessions with work waited for a lease.", MetricType::Histogram);
  Family faults("vgpu_faults_total", "Sessions that ended by a fault, and CUDA errors that lasted.",
                MetricType::Counter);
  Family quarantined("vgpu_vm_quarantined", "1 while the VM gets no session because of its faults.", MetricType::Gauge);
  Family refused("vgpu_connections_refused_total", "Connections that got no session.", MetricType::Counter);
  Family unsupported("vgpu_unsupported_calls_total", "CUDA calls that are not carried and returned an error.",
                     MetricType::Counter);
  Family sandbox("vgpu_executor_sandbox", "1 where this part of the executors' sandbox is in force.",
                 MetricType::Gauge);
  Family build("vgpu_build_info", "What this daemon is; the value is always 1.", MetricType::Gauge);

  const std::lock_guard lock(mutex_);
  std::map<std::string, PoolTotals> pools = pools_;
  std::array<std::uint64_t, SessionStats::kMaxNames> names = unsupported_;
  std::map<Key, std::pair<std::uint64_t, std::uint64_t>> now;  // sessions, memory
  const std::map<Key, Totals> sums = totals();                 // reads the live ones
  for (const auto& [id, live] : live_) {
    const Key key = key_of(live->record->vm, live->record->pool);
    PoolTotals& pool = pools[live->record->pool];
    for (std::size_t i = 0; i < pool.calls_by_name.size(); ++i) pool.calls_by_name[i] += live->calls_by_name[i];
    for (std::size_t i = 0; i < names.size(); ++i) names[i] += live->unsupported[i];
    ++now[key].first;
    now[key].second += memory_of(*live->record);
  }
  for (const auto& [key, sum] : sums) {
    const std::vector<ClientMetric::Label> labels{{"vm", vm_text(key.first)}, {"pool", key.second}};
    calls.add(labels, sum.calls);
    doorbells.add(labels, sum.doorbells);
    kernels.add(labels, sum.kernels);
    gpu.add(labels, static_cast<double>(sum.gpu_nanoseconds) / 1e9);
    byte_seconds.add(labels, sum.memory_byte_seconds);
    waits.add(labels, sum.waits);
    sessions.add(labels, now[key].first);
    memory.add(labels, now[key].second);
    delayed.add(labels, sum.delayed);
    if (quarantine_ != nullptr) quarantined.add(labels, std::uint64_t{quarantine_->holds(key.first) ? 1u : 0u});
    const auto add_limited = [&](const char* limit, std::uint64_t value) {
      std::vector<ClientMetric::Label> with_limit = labels;
      with_limit.push_back({"limit", limit});
      limited.add(std::move(with_limit), value);
    };
    for (std::uint32_t i = 0; i < protocol::kLimits; ++i) add_limited(protocol::limit_name(i), sum.refused[i]);
    add_limited("sessions", sum.sessions_refused);
    for (std::uint32_t i = 0; i < kDirections; ++i) {
      std::vector<ClientMetric::Label> with_direction = labels;
      with_direction.push_back({"direction", protocol::direction_name(i)});
      copied.add(std::move(with_direction), sum.copied[i]);
    }
  }
  for (const auto& [key, count] : vms_) vms.add({{"vm", vm_text(key.first)}, {"pool", key.second}}, count);
  for (const auto& [pool, sum] : pools)
    for (std::size_t i = 0; i < sum.calls_by_name.size(); ++i)
      if (sum.calls_by_name[i] != 0)
        by_name.add({{"pool", pool}, {"call", std::string(protocol::kCalls[i].name)}}, sum.calls_by_name[i]);
  for (const auto& [key, count] : faults_)
    faults.add({{"vm", vm_text(key.first.first)},
                {"pool", key.first.second},
                {"reason", protocol::end_reason_text(key.second)}},
               count);
  for (const auto& [reason, count] : refused_) refused.add({{"reason", protocol::end_reason_text(reason)}}, count);
  const auto known = cuda_names();
  for (std::size_t i = 0; i < names.size(); ++i)
    if (names[i] != 0) unsupported.add({{"call", i < known.size() ? std::string(known[i]) : "unknown"}}, names[i]);
  for (const auto& [part, in_force] : sandbox_) sandbox.add({{"part", part}}, std::uint64_t{in_force ? 1u : 0u});
  build.add({{"version", kVersion},
             {"cuda_toolkit", kCudaToolkit},
             {"protocol", std::to_string(VGPU_VERSION_MAJOR) + "." + std::to_string(VGPU_VERSION_MINOR)}},
            std::uint64_t{1});

  std::vector<MetricFamily> families;
  for (Family* family : {&calls, &by_name, &doorbells, &sessions, &vms, &kernels, &copied, &memory, &gpu, &byte_seconds,
                         &waits, &limited, &delayed, &faults, &quarantined, &refused, &unsupported, &sandbox, &build})
    families.push_back(family->take());
  if (gpus_ != nullptr)
    for (MetricFamily& family : gpu_metrics(gpus_->states(), pool_gpus_)) families.push_back(std::move(family));
  return families;
}

}  // namespace vgpu::daemon
