#include "executor/sandbox/rights.hpp"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <vector>

#include "common/unique_fd.hpp"
#include "executor/sandbox/files.hpp"

namespace vgpu::executor {
namespace {

constexpr rlim_t kMostDescriptors = 1u << 16;
constexpr rlim_t kMostThreads = 4096;

std::string failed(const std::string& what) { return what + ": " + std::strerror(errno); }

bool write_text(const char* path, const std::string& text) {
  const UniqueFd file(::open(path, O_WRONLY | O_CLOEXEC));
  return file && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

/// Groups that may use device nodes which not everybody may use.
std::vector<gid_t> device_groups() {
  std::vector<gid_t> groups;
  for (const std::filesystem::path& node : device_nodes()) {
    struct stat status {};
    if (::stat(node.c_str(), &status) != 0 || !S_ISCHR(status.st_mode)) continue;
    const bool everybody = (status.st_mode & 06) == 06, group = (status.st_mode & 060) == 060;
    if (!everybody && group && status.st_gid != 0) groups.push_back(status.st_gid);
  }
  std::sort(groups.begin(), groups.end());
  groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
  return groups;
}

bool drop_capabilities() {
  // The bounding set needs a right that may be missing; without it, no_new_privileges says the same.
  for (int capability = 0; ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0; ++capability) {
  }
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> none{};
  return ::syscall(SYS_capset, &header, none.data()) == 0;
}

}  // namespace

std::string map_own_user(const sandbox::Order& order) {
  const auto line = [](std::uint32_t id) { return std::to_string(id) + " " + std::to_string(id) + " 1"; };
  if (!write_text("/proc/self/setgroups", "deny")) return failed("setgroups of the user namespace");
  if (!write_text("/proc/self/uid_map", line(order.uid))) return failed("the user namespace's uid_map");
  if (!write_text("/proc/self/gid_map", line(order.gid))) return failed("the user namespace's gid_map");
  return {};
}

std::string drop_rights(const sandbox::Order& order) {
  if (!order.in_user_namespace) {
    if (order.uid == 0) return "vgpud has no user to give it: only root's can";
    const std::vector<gid_t> groups = device_groups();
    if (::setgroups(groups.size(), groups.data()) != 0) return failed("setgroups");
    if (::setresgid(order.gid, order.gid, order.gid) != 0) return failed("setresgid");
    if (::setresuid(order.uid, order.uid, order.uid) != 0) return failed("setresuid");
  }
  return drop_capabilities() ? std::string() : failed("capset");
}

std::string set_limits(const sandbox::Order& order) {
  const auto lower = [](__rlimit_resource resource, rlim_t most) {
    rlimit limit{};
    if (::getrlimit(resource, &limit) != 0) return false;
    limit.rlim_max = std::min(limit.rlim_max, most);
    limit.rlim_cur = std::min(limit.rlim_cur, most);
    return ::setrlimit(resource, &limit) == 0;
  };
  if (!lower(RLIMIT_CORE, 0)) return failed("RLIMIT_CORE");
  if (!lower(RLIMIT_NOFILE, kMostDescriptors)) return failed("RLIMIT_NOFILE");
  if (!lower(RLIMIT_MSGQUEUE, 0)) return failed("RLIMIT_MSGQUEUE");
  // The kernel counts threads of a user: only where no other process has it does the count say anything of this one.
  if (!order.in_user_namespace && order.uid != 0 && ::geteuid() == 0 && !lower(RLIMIT_NPROC, kMostThreads))
    return failed("RLIMIT_NPROC");
  return {};
}

void keep_death_signal() { ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); }

}  // namespace vgpu::executor
