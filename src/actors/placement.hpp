#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "actors/lease_policy.hpp"

namespace vgpu::daemon {

/// Which pool each VM is in, and on which of the pool's GPUs, while it has sessions. A VM that the configuration moves
/// goes to its new pool when it has none, so that its processes never compete in two; and its processes share one GPU,
/// which is what they see. A VM that comes is placed where the least weight is. Any thread.
class Placement {
 public:
  /// Where one session is.
  struct Place {
    std::uint32_t vm = 0;
    std::string pool;
    std::size_t gpu = 0;  ///< number of the place within its pool
    bool keeps_pool = false;
  };

  /// Of each place of a pool, whether sessions may go there. Calls nothing of this class.
  using Usable = std::function<std::vector<bool>(const std::string& pool)>;

  /// One more session of the VM, in the pool that is `configured`, unless sessions of it are elsewhere still. Of a VM
  /// that may choose with each session, `keeps_pool` is false. Nothing: no place is usable.
  std::optional<Place> enter(const Tenant& tenant, const std::string& configured, bool keeps_pool,
                             const Usable& usable);
  /// Where the next session would be, which does not come.
  std::optional<Place> look(const Tenant& tenant, const std::string& configured, bool keeps_pool,
                            const Usable& usable) const;
  /// One less.
  void leave(const Place& place);

 private:
  struct Sessions {
    std::uint32_t count = 0;
    std::uint32_t weight = 0;
  };
  using Load = std::map<std::uint32_t, Sessions>;  ///< by VM
  std::uint64_t weight_on(const std::string& pool, std::size_t gpu) const;
  /// Under the lock.
  std::optional<Place> choose(const Tenant& tenant, const std::string& configured, bool keeps_pool,
                              const Usable& usable) const;

  mutable std::mutex mutex_;
  std::map<std::pair<std::string, std::size_t>, Load> loads_;
  std::map<std::uint32_t, std::pair<std::string, std::uint32_t>> pools_;  ///< of VMs that keep theirs: pool, sessions
};

}  // namespace vgpu::daemon
