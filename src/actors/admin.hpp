#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <variant>

#include "actors/admin_answers.hpp"
#include "actors/admin_streams.hpp"
#include "actors/context.hpp"
#include "actors/interfaces.hpp"
#include "actors/live_config.hpp"

namespace vgpu::daemon {

/// What the admin actor asks and changes.
struct AdminParts {
  ContextPtr context;
  AdminSources sources;
  std::shared_ptr<LiveConfig> configuration;
  listener_actor listener;
  /// Called when all actors have answered a round of alive_atom.
  std::function<void()> alive;
};

/// Answers operators (vgpuctl) on the admin socket: docs/operations.md describes what is said there. Whoever may not
/// ask is refused and logged. It waits for nobody: other actors answer by messages, what is watched is looked at by a
/// clock that runs only while somebody watches.
struct AdminState {
  static inline const char* name = "admin";

  struct Trace {
    std::uint32_t vm = 0;
    TraceStream stream;
  };
  struct Client {
    AdminClientPtr socket;
    std::variant<std::monostate, Trace, EventStream, ProfileStream> watches;
  };

  AdminParts parts;
  std::vector<pool_scheduler_actor> schedulers;
  std::map<std::uint64_t, Client> clients;
  std::uint64_t last_client = 0;
  bool ticking = false;
  std::map<uid_t, std::chrono::steady_clock::time_point> refused;  ///< when that was last logged
};

/// True for root, the daemon's own user and members of the group.
bool may_administer(const Peer& peer, const std::vector<gid_t>& groups, uid_t own_uid, std::optional<gid_t> admin_gid);

admin_actor::behavior_type admin(admin_actor::stateful_pointer<AdminState> self, AdminParts parts);

}  // namespace vgpu::daemon
