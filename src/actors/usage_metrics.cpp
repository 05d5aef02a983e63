#include "actors/usage_metrics.hpp"

#include "actors/metric_family.hpp"
#include "protocol/catalogue.hpp"
#include "protocol/end_reason.hpp"
#include "protocol/session.hpp"

namespace vgpu::daemon {
namespace {

using prometheus::MetricType;
using protocol::Limit;

/// Reasons of faults. They have series from the beginning: one that begins with its first fault never shows Prometheus
/// that something rose.
constexpr vgpu_end_reason kFaults[] = {
    VGPU_END_BAD_RECORD, VGPU_END_BAD_CHECK, VGPU_END_UNKNOWN_CALL,  VGPU_END_BAD_REQUEST,    VGPU_END_BAD_RING,
    VGPU_END_BAD_BULK,   VGPU_END_VERSION,   VGPU_END_EXECUTOR_DIED, VGPU_END_EXECUTOR_START, VGPU_END_GPU_FAULT,
    VGPU_END_LIMIT,      VGPU_END_WATCHDOG,  VGPU_END_GPU_LOST,      VGPU_END_INTERNAL};
constexpr Limit kObjects[] = {Limit::streams, Limit::events, Limit::modules, Limit::graphs};
constexpr const char* kLeaseStates[] = {"none", "waiting", "held"};

Family counter(const char* name, const char* help) { return {name, help, MetricType::Counter}; }
Family gauge(const char* name, const char* help) { return {name, help, MetricType::Gauge}; }
Family histogram(const char* name, const char* help) { return {name, help, MetricType::Histogram}; }

Family::Labels with(Family::Labels labels, const char* name, std::string value) {
  labels.push_back({name, std::move(value)});
  return labels;
}

}  // namespace

std::string vm_text(std::uint32_t vm) { return vm == protocol::kNoVm ? "other" : std::to_string(vm); }

struct UsageMetrics::Families {
  Family calls = counter("vgpu_calls_processed_total", "CUDA calls that executors have processed.");
  Family by_name = counter("vgpu_calls_by_name_total", "CUDA calls that executors have processed, by name.");
  Family sync_calls = counter("vgpu_sync_calls_total", "Calls for whose answer a thread of the guest waited.");
  Family doorbells = counter("vgpu_doorbells_total", "Doorbells that guests have rung.");
  Family sleeps = counter("vgpu_executor_sleeps_total", "Times that executors went to sleep on an empty ring.");
  Family full = counter("vgpu_ring_full_waits_total", "Times that a thread of the guest waited for room in its ring.");
  Family kernels = counter("vgpu_kernels_launched_total", "Kernels that were launched.");
  Family copied = counter("vgpu_copied_bytes_total", "Bytes that copies have moved.");
  Family gpu = counter("vgpu_gpu_seconds_total", "GPU time that leases used.");
  Family byte_seconds = counter("vgpu_memory_byte_seconds_total", "GPU memory held, over time.");
  Family waits = histogram("vgpu_lease_wait_seconds", "How long sessions with work waited for a lease.");
  Family delays =
      histogram("vgpu_queue_delay_seconds", "How long calls lay in the ring before they were run; sampled.");
  Family limited = counter("vgpu_limit_refusals_total", "What a limit of a VM did not allow.");
  Family delayed =
      counter("vgpu_calls_delayed_total", "Times that a session's calls waited for the VM's calls per second.");
  Family faults = counter("vgpu_faults_total", "Sessions that ended by a fault, and CUDA errors that lasted.");
  Family sessions = gauge("vgpu_sessions", "Sessions that are open.");
  Family leases = gauge("vgpu_leases", "Sessions by what they have of the GPU: held, waiting, or none.");
  Family memory = gauge("vgpu_memory_used_bytes", "GPU memory that is charged to sessions.");
  Family arena = gauge("vgpu_arena_used_bytes", "Page-locked memory that is registered with the GPU.");
  Family objects = gauge("vgpu_objects", "Streams, events, modules and graphs that were made and not destroyed.");
  Family connected = gauge("vgpu_vm_connected", "1 while the VM's QEMU is connected.");
  Family quarantined = gauge("vgpu_vm_quarantined", "1 while the VM gets no session because of its faults.");

  void add_counters(const Family::Labels& labels, const Totals& totals) {
    calls.add(labels, totals.calls);
    sync_calls.add(labels, totals.sync_calls);
    doorbells.add(labels, totals.doorbells);
    sleeps.add(labels, totals.sleeps);
    full.add(labels, totals.ring_full_waits);
    kernels.add(labels, totals.kernels);
    for (std::uint32_t i = 0; i < totals.copied.size(); ++i)
      copied.add(with(labels, "direction", protocol::direction_name(i)), totals.copied[i]);
    gpu.add(labels, static_cast<double>(totals.gpu_nanoseconds) / 1e9);
    byte_seconds.add(labels, totals.memory_byte_seconds);
    waits.add(labels, totals.waits);
    delays.add(labels, totals.queue_delays);
    for (std::uint32_t i = 0; i < protocol::kLimits; ++i)
      limited.add(with(labels, "limit", protocol::limit_name(i)), totals.refused[i]);
    limited.add(with(labels, "limit", "sessions"), totals.sessions_refused);
    delayed.add(labels, totals.delayed);
  }

  void add_gauges(const Family::Labels& labels, const Holdings& now) {
    sessions.add(labels, now.sessions);
    for (std::size_t i = 0; i < now.leases.size(); ++i)
      leases.add(with(labels, "state", kLeaseStates[i]), now.leases[i]);
    memory.add(labels, now.memory);
    arena.add(labels, now.held[static_cast<std::size_t>(Limit::arena)]);
    for (const Limit limit : kObjects) {
      const auto i = static_cast<std::uint32_t>(limit);
      objects.add(with(labels, "kind", protocol::limit_name(i)), now.held[i]);
    }
  }
};

UsageMetrics::UsageMetrics() : families_(std::make_unique<Families>()) {}
UsageMetrics::~UsageMetrics() = default;

void UsageMetrics::add(std::uint32_t vm, const std::string& pool, const Usage& usage) {
  const Family::Labels labels{{"vm", vm_text(vm)}, {"pool", pool}};
  families_->add_counters(labels, usage.totals);
  families_->add_gauges(labels, usage.now);
  for (std::size_t i = 0; i < usage.calls_by_name.size(); ++i)
    if (usage.calls_by_name[i] != 0)
      families_->by_name.add(with(labels, "call", std::string(protocol::kCalls[i].name)), usage.calls_by_name[i]);
  std::map<vgpu_end_reason, std::uint64_t> faults = usage.faults;
  for (const vgpu_end_reason reason : kFaults) faults.try_emplace(reason, 0);
  for (const auto& [reason, count] : faults)
    families_->faults.add(with(labels, "reason", protocol::end_reason_text(reason)), count);
  families_->connected.add(labels, usage.qemus);
  families_->quarantined.add(labels, std::uint64_t{usage.quarantined ? 1u : 0u});
}

std::vector<prometheus::MetricFamily> UsageMetrics::take() {
  Families& all = *families_;
  std::vector<prometheus::MetricFamily> taken;
  for (Family* family : {&all.calls,   &all.by_name, &all.sync_calls, &all.doorbells,    &all.sleeps, &all.full,
                         &all.kernels, &all.copied,  &all.gpu,        &all.byte_seconds, &all.waits,  &all.delays,
                         &all.limited, &all.delayed, &all.faults,     &all.sessions,     &all.leases, &all.memory,
                         &all.arena,   &all.objects, &all.connected,  &all.quarantined})
    if (!family->empty()) taken.push_back(family->take());
  return taken;
}

}  // namespace vgpu::daemon
