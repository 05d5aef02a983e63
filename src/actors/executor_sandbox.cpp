#include "actors/executor_sandbox.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "actors/child_process.hpp"
#include "actors/executor_process.hpp"
#include "common/log.hpp"

namespace vgpu::daemon {
namespace {

using sandbox::Finding;
using sandbox::Order;
using sandbox::Part;
using sandbox::Parts;

constexpr std::chrono::seconds kProbeDeadline{20};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// A sanitizer's runtime must see the fork.
constexpr std::array<std::uint64_t, 1> kWays{0};
#else
/// Ways to start an executor, the best first. Root needs no user namespace for the others; everybody else does.
constexpr std::array<std::uint64_t, 4> kWays{CLONE_NEWPID, CLONE_NEWUSER | CLONE_NEWPID, CLONE_NEWUSER, 0};
#endif

Order order_of(const SandboxConfig& config, std::uint64_t namespaces) {
  Order order;
  order.in_user_namespace = (namespaces & CLONE_NEWUSER) != 0;
  order.in_pid_namespace = (namespaces & CLONE_NEWPID) != 0;
  if (order.in_user_namespace) {
    order.uid = ::geteuid();
    order.gid = ::getegid();
  } else if (::geteuid() == 0) {
    order.uid = config.first_id;
    order.gid = config.first_id;
  }
  return order;
}

/// All that comes out of a pipe until its other end is closed, or the deadline.
std::string read_all(int pipe) {
  const auto end = std::chrono::steady_clock::now() + kProbeDeadline;
  std::string text;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    pollfd readable{pipe, POLLIN, 0};
    const int ready = ::poll(&readable, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (ready < 0 && errno == EINTR) continue;
    std::array<char, 1024> part;
    const ssize_t got = ready > 0 ? ::read(pipe, part.data(), part.size()) : 0;
    if (got <= 0) return text;
    text.append(part.data(), static_cast<std::size_t>(got));
  }
}

/// Lets the program try every part. Nothing comes back: it can't be started so, or says nothing.
std::vector<Finding> probe(const SandboxConfig& config, std::uint64_t namespaces, const std::filesystem::path& program,
                           const Driver& driver) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return {};
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  Order order = order_of(config, namespaces);
  order.probe = true;
  order.parts = Parts::all();
  order.driver = driver.library.string();
  ChildSpec spec;
  spec.program = program.string();
  spec.arguments = order.arguments();
  spec.arguments.insert(spec.arguments.begin(), "vgpu-executor");
  spec.environment = executor_environment(::environ, driver);
  spec.descriptors[0] = writer.get();
  spec.namespaces = namespaces;
  const Child child = start_child(std::move(spec));
  if (child.pid < 0) return {};
  writer.reset();
  std::vector<Finding> findings = sandbox::findings_in(read_all(reader.get()));
  ::kill(child.pid, SIGKILL);
  ::waitpid(child.pid, nullptr, 0);
  return findings;
}

std::size_t in_force(const std::vector<Finding>& findings) {
  return static_cast<std::size_t>(
      std::count_if(findings.begin(), findings.end(), [](const Finding& finding) { return finding.reason.empty(); }));
}

/// Every part once, in their order.
std::vector<Finding> complete(const std::vector<Finding>& findings, const char* otherwise) {
  std::vector<Finding> all;
  for (std::size_t i = 0; i < sandbox::kParts; ++i) {
    const Part part = static_cast<Part>(i);
    const auto found = std::find_if(findings.begin(), findings.end(), [&](const Finding& f) { return f.part == part; });
    all.push_back(found != findings.end() ? *found : Finding{part, otherwise});
  }
  return all;
}

}  // namespace

ExecutorSandbox::ExecutorSandbox(const SandboxConfig& config)
    : config_(config), users_(IdRange::make(config.first_id, config.last_id)) {}

std::unique_ptr<ExecutorSandbox> ExecutorSandbox::find(const SandboxConfig& config,
                                                       const std::filesystem::path& program, const Driver& driver,
                                                       std::string& error) {
  std::unique_ptr<ExecutorSandbox> result(new ExecutorSandbox(config));
  if (config.mode == SandboxConfig::Mode::off) {
    result->findings_ = complete({}, "sandbox = \"off\" in [executor]");
    result->cgroup_missing_ = result->findings_.front().reason;
    return result;
  }
  std::vector<Finding> best;
  for (const std::uint64_t way : kWays) {
    std::vector<Finding> findings = probe(config, way, program, driver);
    if (in_force(findings) <= in_force(best)) continue;
    best = std::move(findings);
    result->namespaces_ = way;
    if (in_force(best) == sandbox::kParts) break;
  }
  result->findings_ = complete(best, "the executor's program says nothing of it");
  std::string missing;
  for (const Finding& finding : result->findings_) {
    if (finding.reason.empty())
      result->parts_.add(finding.part);
    else
      missing += (missing.empty() ? "" : "; ") + std::string(part_name(finding.part)) + ": " + finding.reason;
  }
  if (config.mode == SandboxConfig::Mode::required && !missing.empty()) {
    error = "executors can't have the whole sandbox that [executor] requires (" + missing +
            "); docs/operations.md says what each part needs. Or take sandbox = \"auto\"";
    return nullptr;
  }
  ExecutorCgroups::Limits limits;
  limits.memory_bytes = config.host_memory_bytes;
  result->cgroups_ = ExecutorCgroups::find(limits, result->cgroup_missing_);
  // Of the daemon's own user, and no namespace between: its memory must not be open to them either.
  if (!result->parts_.empty() && !result->parts_.has(Part::user) && result->parts_.has(Part::private_memory))
    ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  return result;
}

void ExecutorSandbox::log_findings() const {
  std::string in_force;
  for (const Finding& finding : findings_)
    if (finding.reason.empty()) in_force.append(in_force.empty() ? "" : ",").append(part_name(finding.part));
  if (cgroup_missing_.empty()) in_force.append(in_force.empty() ? "" : ",").append(kCgroup);
  log::info("executor sandbox", {{"in_force", in_force.empty() ? "nothing" : in_force}});
  if (config_.mode == SandboxConfig::Mode::off) return;
  if (!cgroup_missing_.empty())
    log::write(config_.host_memory_bytes ? log::Level::warn : log::Level::info,
               "executors have no cgroups of their own", {{"part", kCgroup}, {"reason", cgroup_missing_}});
  for (const Finding& finding : findings_)
    if (!finding.reason.empty())
      log::warn("executors lack a part of the sandbox",
                {{"part", part_name(finding.part)}, {"reason", finding.reason}});
}

bool ExecutorSandbox::own_user() const noexcept { return parts_.has(Part::user) && (namespaces_ & CLONE_NEWUSER) == 0; }

bool ExecutorSandbox::start_with(const Driver& driver, Start& start, std::string& error) const {
  start.order = order_of(config_, namespaces_);
  start.order.parts = parts_;
  start.order.driver = driver.library.string();
  start.namespaces = namespaces_;
  if (cgroups_ != nullptr && (start.cgroup = cgroups_->make_leaf(++started_, error)) == nullptr) return false;
  if (!own_user()) return true;
  start.user = users_->take();
  if (start.user == nullptr) {
    error = "every user of sandbox_ids in [executor] is taken";
    return false;
  }
  start.order.uid = start.user->number();
  start.order.gid = start.user->number();
  return true;
}

}  // namespace vgpu::daemon
