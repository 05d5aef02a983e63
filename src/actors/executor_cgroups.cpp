#include "actors/executor_cgroups.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "common/unique_fd.hpp"

namespace vgpu::daemon {
namespace fs = std::filesystem;
namespace {

std::string failed(const std::string& what) { return what + ": " + std::strerror(errno); }

/// The kernel takes a value whole, or not at all.
bool write_value(const fs::path& file, const std::string& value) {
  const UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
  return fd && ::write(fd.get(), value.data(), value.size()) == static_cast<ssize_t>(value.size());
}

std::vector<std::string> words(const fs::path& file) {
  std::ifstream stream(file);
  std::vector<std::string> found;
  for (std::string word; stream >> word;) found.push_back(word);
  return found;
}

/// Where this process's group of version 2 is mounted; empty where there is none.
fs::path own_group() {
  std::ifstream stream("/proc/self/cgroup");
  for (std::string line; std::getline(stream, line);) {
    if (!line.starts_with("0::/")) continue;
    for (const char* mount : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
      struct statfs status {};
      const fs::path folder = fs::path(mount) / line.substr(4);
      if (::statfs(folder.c_str(), &status) == 0 && status.f_type == CGROUP2_SUPER_MAGIC) return folder;
    }
  }
  return {};
}

/// systemd marks what it leaves to a service: another group is not the daemon's to divide, even if root could.
bool delegated(const fs::path& folder) {
  for (const char* name : {"user.delegate", "trusted.delegate"}) {
    std::array<char, 8> value{};
    if (::getxattr(folder.c_str(), name, value.data(), value.size() - 1) > 0 && value[0] == '1') return true;
  }
  return false;
}

}  // namespace

bool ExecutorCgroups::Leaf::add(pid_t process) const {
  return write_value(folder_ / "cgroup.procs", std::to_string(process));
}

std::shared_ptr<ExecutorCgroups> ExecutorCgroups::find(const Limits& limits, std::string& reason) {
  const fs::path folder = own_group();
  if (folder.empty() || !delegated(folder)) {
    reason = "vgpud has no cgroup of version 2 that was delegated to it (systemd: Delegate=yes)";
    return nullptr;
  }
  return make(folder, limits, {"memory", "pids"}, reason);
}

std::shared_ptr<ExecutorCgroups> ExecutorCgroups::make(const fs::path& folder, const Limits& limits,
                                                       const std::vector<std::string>& controllers,
                                                       std::string& reason) {
  const std::vector<std::string> there = words(folder / "cgroup.controllers");
  for (const std::string& controller : controllers)
    if (std::find(there.begin(), there.end(), controller) == there.end()) {
      reason = folder.string() + " has no controller " + controller;
      return nullptr;
    }
  const fs::path own = folder / "vgpud";
  if (::mkdir(own.c_str(), 0755) != 0 && errno != EEXIST) {
    reason = failed("making " + own.string());
    return nullptr;
  }
  for (const std::string& process : words(folder / "cgroup.procs"))
    // One that has ended meanwhile needs no moving.
    if (!write_value(own / "cgroup.procs", process) && errno != ESRCH) {
      reason = failed("moving process " + process + " into " + own.string());
      return nullptr;
    }
  for (const std::string& controller : controllers)
    if (!write_value(folder / "cgroup.subtree_control", "+" + controller)) {
      reason = failed("dividing " + controller + " of " + folder.string());
      return nullptr;
    }
  return std::shared_ptr<ExecutorCgroups>(new ExecutorCgroups(folder, limits));
}

std::unique_ptr<ExecutorCgroups::Leaf> ExecutorCgroups::make_leaf(std::uint32_t number, std::string& error) {
  const fs::path folder = folder_ / ("executor-" + std::to_string(number));
  if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) {
    error = failed("making the cgroup " + folder.string());
    return nullptr;
  }
  auto leaf = std::make_unique<Leaf>(shared_from_this(), folder);
  // A file that is missing is of a controller that make() was not told to want.
  const auto limit = [&](const char* name, const std::string& value) {
    if (write_value(folder / name, value) || errno == ENOENT) return true;
    error = failed(std::string("setting ") + name + " of " + folder.string());
    return false;
  };
  if (!limit("pids.max", std::to_string(limits_.tasks))) return nullptr;
  // What is over the limit dies with its executor, not page by page on the disk.
  if (limits_.memory_bytes &&
      (!limit("memory.max", std::to_string(*limits_.memory_bytes)) || !limit("memory.swap.max", "0")))
    return nullptr;
  return leaf;
}

/// The kernel may still hold a group whose last process has just been reaped: then it goes with the next one.
void ExecutorCgroups::remove(const fs::path& leaf) {
  const std::lock_guard lock(mutex_);
  left_.push_back(leaf);
  std::erase_if(left_, [](const fs::path& folder) { return ::rmdir(folder.c_str()) == 0 || errno == ENOENT; });
}

}  // namespace vgpu::daemon
