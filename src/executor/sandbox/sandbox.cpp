#include "executor/sandbox/sandbox.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "common/unique_fd.hpp"
#include "executor/sandbox/files.hpp"
#include "executor/sandbox/rights.hpp"
#include "executor/sandbox/system_calls.hpp"
#include "protocol/executor_link.hpp"

namespace vgpu::executor {
namespace {

using sandbox::Finding;
using sandbox::Order;
using sandbox::Part;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// Its runtime looks into its own process from outside, reads the program's file, and may start a symbolizer.
constexpr bool kSanitizer = true;
#else
constexpr bool kSanitizer = false;
#endif
constexpr const char* kNotInSanitizer = "this is a sanitizer's build";

std::string failed(const char* what) { return std::string(what) + ": " + std::strerror(errno); }

std::string unshare_part(int flags, const char* what) { return ::unshare(flags) == 0 ? std::string() : failed(what); }

/// Standard input may be the operator's terminal.
void forget_standard_input() {
  const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (null)
    ::dup2(null.get(), STDIN_FILENO);
  else
    ::close(STDIN_FILENO);
}

/// The first process of a PID namespace has no default for signals that it sends itself: abort() would end as an
/// illegal instruction does.
void end_at_abort(int) { ::_exit(128 + SIGABRT); }

bool daemon_is_gone() {
  pollfd link{protocol::kLinkFd, 0, 0};
  return ::poll(&link, 1, 0) > 0 && (link.revents & (POLLHUP | POLLERR)) != 0;
}

std::string build(Part part, const Order& order) {
  if (kSanitizer && part != Part::no_new_privileges && part != Part::limits) return kNotInSanitizer;
  switch (part) {
    case Part::no_new_privileges:
      return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? std::string() : failed("PR_SET_NO_NEW_PRIVS");
    case Part::limits:
      return set_limits(order);
    case Part::processes:
      return order.in_pid_namespace ? std::string() : "vgpud could not start it in a PID namespace";
    case Part::ipc:
      return unshare_part(CLONE_NEWIPC | CLONE_NEWUTS, "an IPC namespace");
    case Part::network:
      return unshare_part(CLONE_NEWNET, "a network namespace");
    case Part::files:
      return set_view(order.driver, order.in_pid_namespace);
    case Part::user:
      return drop_rights(order);
    case Part::private_memory:
      return ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 ? std::string() : failed("PR_SET_DUMPABLE");
    case Part::system_calls:
      return install_system_call_filter();
    case Part::count:
      break;
  }
  return "unknown";
}

/// Walls that the driver library lies beyond are of no use: it may be in a folder that only the daemon's user may
/// enter.
void look_at_driver(const Order& order, std::vector<Finding>& findings) {
  if (::dlopen(order.driver.c_str(), RTLD_NOW | RTLD_LOCAL) != nullptr) return;
  const char* why = ::dlerror();
  for (Finding& finding : findings)
    if ((finding.part == Part::user || finding.part == Part::files) && finding.reason.empty())
      finding.reason = std::string("the driver library can't be loaded: ") + (why != nullptr ? why : "dlopen failed");
}

}  // namespace

std::vector<Finding> build_sandbox(const Order& order) {
  // In the order in which each still has the rights that it needs. Only the last two come after rights were dropped.
  constexpr Part kSequence[] = {Part::no_new_privileges, Part::limits, Part::processes, Part::ipc,
                                Part::network,           Part::files,  Part::user,      Part::private_memory,
                                Part::system_calls};
  static_assert(std::size(kSequence) == sandbox::kParts);
  forget_standard_input();
  if (order.in_pid_namespace) ::signal(SIGABRT, end_at_abort);
  std::string mapped = order.in_user_namespace ? map_own_user(order) : std::string();
  std::vector<Finding> findings;
  for (const Part part : kSequence) {
    if (!order.parts.has(part)) continue;
    // A new user id takes the death signal and makes the memory private.
    if (part == Part::private_memory || part == Part::system_calls) keep_death_signal();
    findings.push_back({part, part == Part::user && !mapped.empty() ? mapped : build(part, order)});
  }
  return findings;
}

int enter_sandbox(const Order& order) {
  std::vector<Finding> findings = build_sandbox(order);
  if (order.probe) {
    look_at_driver(order, findings);
    const std::string report = sandbox::report_text(findings);
    return ::write(protocol::kLinkFd, report.data(), report.size()) == static_cast<ssize_t>(report.size()) ? 0 : 1;
  }
  bool whole = true;
  for (const Finding& finding : findings) {
    if (finding.reason.empty()) continue;
    whole = false;
    std::fprintf(stderr, "level=error msg=\"executor has no sandbox and does not start\" part=%s reason=\"%s\"\n",
                 std::string(sandbox::part_name(finding.part)).c_str(), finding.reason.c_str());
  }
  if (!whole) return 1;
  return daemon_is_gone() ? 0 : -1;
}

}  // namespace vgpu::executor
