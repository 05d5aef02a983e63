#include "actors/config_metrics.hpp"

#include <string>

#include "actors/metric_family.hpp"

namespace vgpu::daemon {
namespace {

using prometheus::MetricType;
using protocol::Limit;

constexpr Limit kObjects[] = {Limit::streams, Limit::events, Limit::modules, Limit::graphs};

const char* priority_text(Priority priority) {
  switch (priority) {
    case Priority::low:
      return "low";
    case Priority::medium:
      return "medium";
    case Priority::high:
      return "high";
  }
  return "unknown";
}

struct VmFamilies {
  Family info{"vgpu_vm_info",
              "What a VM is and was given; domain: its name, as libvirt's exporters spell it. Always 1.",
              MetricType::Gauge};
  Family weight{"vgpu_vm_weight", "The VM's weight: shares within a priority are in proportion to it.",
                MetricType::Gauge};
  Family memory{"vgpu_vm_memory_limit_bytes", "GPU memory that the VM may hold.", MetricType::Gauge};
  Family arena{"vgpu_vm_arena_limit_bytes", "Page-locked memory that the VM may hold.", MetricType::Gauge};
  Family sessions{"vgpu_vm_sessions_limit", "Sessions that the VM may have at once.", MetricType::Gauge};
  Family rate{"vgpu_vm_calls_per_second_limit", "Calls per second above which the VM is slowed down.",
              MetricType::Gauge};
  Family objects{"vgpu_vm_objects_limit", "Streams, events, modules and graphs that the VM may hold.",
                 MetricType::Gauge};

  void add(const VmConfig& vm) {
    const std::string id = std::to_string(vm.id);
    const Family::Labels labels{{"vm", id}};
    info.add({{"vm", id},
              {"name", vm.name},
              {"domain", vm.name},
              {"uuid", vm.uuid},
              {"pool", vm.pool},
              {"priority", priority_text(vm.tenant.priority)},
              {"weight", std::to_string(vm.tenant.weight)}},
             1.0);
    weight.add(labels, std::uint64_t{vm.tenant.weight});
    sessions.add(labels, std::uint64_t{vm.limits.sessions});
    if (const auto most = vm.limits[Limit::memory]; most != 0) memory.add(labels, most);
    if (const auto most = vm.limits[Limit::arena]; most != 0) arena.add(labels, most);
    if (const auto most = vm.limits.calls_per_second; most != 0) rate.add(labels, most);
    for (const Limit limit : kObjects)
      if (const auto most = vm.limits[limit]; most != 0)
        objects.add({{"vm", id}, {"kind", protocol::limit_name(static_cast<std::uint32_t>(limit))}}, most);
  }
};

}  // namespace

std::vector<prometheus::MetricFamily> config_metrics(const Config& config, const std::set<std::uint32_t>& others) {
  Family pools("vgpu_pool_info", "How sessions of the pool share the GPU. Always 1.", MetricType::Gauge);
  Family quantum("vgpu_pool_quantum_seconds", "How long a session has the GPU while others of its pool want it.",
                 MetricType::Gauge);
  for (const PoolConfig& pool : config.pools) {
    const bool fair = pool.policy == PoolConfig::Policy::fair;
    pools.add({{"pool", pool.name}, {"policy", fair ? "fair" : "concurrent"}}, 1.0);
    if (fair) quantum.add({{"pool", pool.name}}, std::chrono::duration<double>(pool.fair.quantum).count());
  }
  VmFamilies vms;
  for (const VmConfig& vm : config.vms) vms.add(vm);
  for (const std::uint32_t id : others) {
    if (config.vm(id) != nullptr) continue;
    VmConfig vm;
    vm.id = id;
    vm.pool = config.unregistered_pool;
    vm.tenant = config.unregistered;
    vm.limits = config.unregistered_limits;
    vms.add(vm);
  }
  std::vector<prometheus::MetricFamily> families;
  for (Family* family :
       {&pools, &quantum, &vms.info, &vms.weight, &vms.memory, &vms.arena, &vms.sessions, &vms.rate, &vms.objects})
    if (!family->empty()) families.push_back(family->take());
  return families;
}

}  // namespace vgpu::daemon
