#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "actors/interfaces.hpp"
#include "actors/lease_policy.hpp"

namespace vgpu::daemon {

/// Carries a lease policy's decisions to the executors of one GPU of a pool, and ends those that do not give a lease
/// back.
struct PoolSchedulerState {
  static inline const char* name = "pool_scheduler";

  struct Session {
    SessionRecordPtr record;
    executor_actor executor;
    Tenant tenant;
    std::optional<caf::actor_clock::time_point> wants_since;  ///< it has work and no lease
  };

  std::string pool;
  std::unique_ptr<LeasePolicy> policy;
  std::map<SessionId, Session> sessions;
};

pool_scheduler_actor::behavior_type pool_scheduler(pool_scheduler_actor::stateful_pointer<PoolSchedulerState> self,
                                                   std::string pool,
                                                   std::shared_ptr<std::unique_ptr<LeasePolicy>> policy);

/// The pool's policy, boxed so that it can be given to spawn(), which copies.
inline std::shared_ptr<std::unique_ptr<LeasePolicy>> boxed(std::unique_ptr<LeasePolicy> policy) {
  return std::make_shared<std::unique_ptr<LeasePolicy>>(std::move(policy));
}

}  // namespace vgpu::daemon
