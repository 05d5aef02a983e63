#include "actors/placement.hpp"

namespace vgpu::daemon {
namespace {

/// Processes that claim no VM are many users': each is placed by itself.
constexpr std::uint32_t kNobody = 0;

}  // namespace

std::uint64_t Placement::weight_on(const std::string& pool, std::size_t gpu) const {
  const auto load = loads_.find({pool, gpu});
  std::uint64_t weight = 0;
  if (load == loads_.end()) return weight;
  for (const auto& [vm, sessions] : load->second)
    weight += std::uint64_t{sessions.weight} * (vm == kNobody ? sessions.count : 1);
  return weight;
}

std::optional<Placement::Place> Placement::choose(const Tenant& tenant, const std::string& configured, bool keeps_pool,
                                                  const Usable& usable) const {
  const auto kept = pools_.find(tenant.vm);
  const std::string pool = keeps_pool && kept != pools_.end() ? kept->second.first : configured;
  const std::vector<bool> may = usable(pool);
  std::optional<std::size_t> best;
  for (std::size_t gpu = 0; gpu < may.size(); ++gpu) {
    if (!may[gpu]) continue;
    const auto load = loads_.find({pool, gpu});
    const bool is_here = load != loads_.end() && load->second.contains(tenant.vm) && tenant.vm != kNobody;
    if (is_here || !best || weight_on(pool, gpu) < weight_on(pool, *best)) best = gpu;
    if (is_here) break;
  }
  if (!best) return std::nullopt;
  return Place{tenant.vm, pool, *best, keeps_pool};
}

std::optional<Placement::Place> Placement::look(const Tenant& tenant, const std::string& configured, bool keeps_pool,
                                                const Usable& usable) const {
  const std::lock_guard lock(mutex_);
  return choose(tenant, configured, keeps_pool, usable);
}

std::optional<Placement::Place> Placement::enter(const Tenant& tenant, const std::string& configured, bool keeps_pool,
                                                 const Usable& usable) {
  const std::lock_guard lock(mutex_);
  const auto place = choose(tenant, configured, keeps_pool, usable);
  if (!place) return std::nullopt;
  Sessions& sessions = loads_[{place->pool, place->gpu}][tenant.vm];
  ++sessions.count;
  sessions.weight = tenant.weight;
  if (keeps_pool) {
    auto& [its, count] = pools_[tenant.vm];
    its = place->pool;
    ++count;
  }
  return place;
}

void Placement::leave(const Place& place) {
  const std::lock_guard lock(mutex_);
  const auto load = loads_.find({place.pool, place.gpu});
  if (load != loads_.end()) {
    const auto sessions = load->second.find(place.vm);
    if (sessions != load->second.end() && --sessions->second.count == 0) load->second.erase(sessions);
  }
  const auto pool = pools_.find(place.vm);
  if (place.keeps_pool && pool != pools_.end() && --pool->second.second == 0) pools_.erase(pool);
}

}  // namespace vgpu::daemon
