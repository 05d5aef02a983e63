#include "actors/status.hpp"

#include <algorithm>

#include "actors/status_source.hpp"

namespace vgpu::daemon {
namespace {

/// Those that sessions see or would see: of the place where the VM is, or would be. Processes that claim no VM are
/// placed one by one: they get to see all places of the pool.
std::vector<std::string> gpus_seen(const Context& context, const Identity& identity) {
  const auto usable = [&](const std::string& pool) {
    std::string ignored;
    std::vector<bool> places = context.healthy_places(pool, ignored);
    // Without one healthy GPU there is no session, but there are still the GPUs to be told of.
    if (std::find(places.begin(), places.end(), true) == places.end()) places.assign(places.size(), true);
    return places;
  };
  const Tenant tenant = context.config()->tenant(identity.vm);
  if (identity.vm != 0) {
    const auto place = context.placement.look(tenant, identity.pool, identity.registered, usable);
    return place ? context.pools.at(place->pool).members.at(place->gpu).place.uuids : std::vector<std::string>();
  }
  std::vector<std::string> uuids;
  for (const Pool::Member& member : context.pools.at(identity.pool).members)
    uuids.insert(uuids.end(), member.place.uuids.begin(), member.place.uuids.end());
  return uuids;
}

}  // namespace

std::unique_ptr<protocol::Status> status_of(const Context& context, const Identity& identity) {
  auto status = std::make_unique<protocol::Status>();
  status->vm = identity.vm;
  const std::vector<std::string> seen = gpus_seen(context, identity);
  std::vector<GpuState> gpus = context.gpus->states();
  std::erase_if(
      gpus, [&](const GpuState& state) { return std::find(seen.begin(), seen.end(), state.gpu.uuid) == seen.end(); });
  const auto use = context.books != nullptr ? context.books->use_of(identity.vm) : std::vector<ProcessUse>();
  fill_status(gpus, use, context.config()->limits_of(identity.vm), *status);
  return status;
}

}  // namespace vgpu::daemon
