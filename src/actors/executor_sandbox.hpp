#pragma once
#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "actors/config.hpp"
#include "actors/driver_choice.hpp"
#include "actors/executor_cgroups.hpp"
#include "actors/id_range.hpp"
#include "common/sandbox_order.hpp"

namespace vgpu::daemon {

/// What executors are shut in with on this machine. Found out once, by starting the executor's program and letting it
/// try; from then on each executor has all that was had then, or does not start. Any thread.
class ExecutorSandbox {
 public:
  /// Null: `error` says why, which only `required` makes happen. Takes some milliseconds.
  static std::unique_ptr<ExecutorSandbox> find(const SandboxConfig& config, const std::filesystem::path& program,
                                               const Driver& driver, std::string& error);

  /// One for each part; without a reason: in force.
  const std::vector<sandbox::Finding>& findings() const noexcept { return findings_; }
  /// Why executors have no cgroup each; empty: they have.
  const std::string& cgroup_missing() const noexcept { return cgroup_missing_; }
  bool off() const noexcept { return parts_.empty(); }
  /// Says all of that in the log.
  void log_findings() const;
  /// What the cgroup is called beside the parts.
  static constexpr const char* kCgroup = "cgroup";

  /// True if executors have users of their own, which are not the daemon's.
  bool own_user() const noexcept;
  /// True if an executor may get its folder of images when it is shut in already: from there it reaches nothing else,
  /// since a user of its own may not enter the folder above, or there is no wall around files anyway. Otherwise its
  /// mount view must have the folder from the start.
  bool takes_images_later() const noexcept { return own_user() || !parts_.has(sandbox::Part::files); }

  /// How one executor is to be started.
  struct Start {
    sandbox::Order order;
    std::uint64_t namespaces = 0;
    std::unique_ptr<IdRange::Id> user;  ///< to be held as long as the process lives; null where it has none of its own
    std::unique_ptr<ExecutorCgroups::Leaf> cgroup;  ///< likewise; the process has to be added
  };
  /// False: `error` says why.
  bool start_with(const Driver& driver, Start& start, std::string& error) const;

 private:
  explicit ExecutorSandbox(const SandboxConfig& config);

  SandboxConfig config_;
  std::vector<sandbox::Finding> findings_;
  sandbox::Parts parts_;
  std::uint64_t namespaces_ = 0;
  std::shared_ptr<IdRange> users_;
  std::shared_ptr<ExecutorCgroups> cgroups_;
  std::string cgroup_missing_;
  mutable std::atomic<std::uint32_t> started_{0};  ///< numbers the cgroups
};

}  // namespace vgpu::daemon
