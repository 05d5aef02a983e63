#pragma once
#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace vgpu::daemon {

/// A cgroup (version 2) for each executor, with limits, below a group that is the daemon's to divide. Any thread.
class ExecutorCgroups : public std::enable_shared_from_this<ExecutorCgroups> {
 public:
  struct Limits {
    std::optional<std::uint64_t> memory_bytes;  ///< of the host; nothing: as much as there is
    std::uint32_t tasks = 4096;                 ///< processes and threads
  };

  /// The group of one executor. It ends with this object, which must not end before the process is reaped.
  class Leaf {
   public:
    Leaf(std::shared_ptr<ExecutorCgroups> groups, std::filesystem::path folder)
        : groups_(std::move(groups)), folder_(std::move(folder)) {}
    ~Leaf() { groups_->remove(folder_); }
    Leaf(const Leaf&) = delete;
    Leaf& operator=(const Leaf&) = delete;
    /// Moves a process into it. False: errno says why.
    bool add(pid_t process) const;
    const std::filesystem::path& folder() const noexcept { return folder_; }

   private:
    std::shared_ptr<ExecutorCgroups> groups_;
    std::filesystem::path folder_;
  };

  /// Below the daemon's own group, if systemd has delegated that to it (Delegate=yes). Null: `reason` says why not.
  static std::shared_ptr<ExecutorCgroups> find(const Limits& limits, std::string& reason);

  /// Below `folder`, whose processes are moved into a leaf of their own: a group that has limits for others must have
  /// none itself. `controllers`: those that it must have, memory and pids.
  static std::shared_ptr<ExecutorCgroups> make(const std::filesystem::path& folder, const Limits& limits,
                                               const std::vector<std::string>& controllers, std::string& reason);

  /// Null: `error` says why.
  std::unique_ptr<Leaf> make_leaf(std::uint32_t number, std::string& error);

 private:
  ExecutorCgroups(std::filesystem::path folder, const Limits& limits) : folder_(std::move(folder)), limits_(limits) {}
  void remove(const std::filesystem::path& leaf);

  const std::filesystem::path folder_;
  const Limits limits_;
  std::mutex mutex_;
  std::vector<std::filesystem::path> left_;  ///< leaves that could not be removed yet
};

}  // namespace vgpu::daemon
