#include "actors/child_process.hpp"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "protocol/executor_link.hpp"

namespace vgpu::daemon {
namespace {

/// All that the child needs, as plain pointers and numbers.
struct Prepared {
  const char* program;
  char* const* arguments;
  char* const* environment;
  std::array<int, 2> descriptors;
  pid_t parent;
  std::uint64_t namespaces;
};

/// Executing a program takes the rights of a new user namespace from everybody but its root, which nobody is yet. Those
/// that are ambient stay.
void keep_rights() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct rights[_LINUX_CAPABILITY_U32S_3]{};
  if (::syscall(SYS_capget, &header, rights) != 0) return;
  for (__user_cap_data_struct& half : rights) half.inheritable = half.permitted;
  if (::syscall(SYS_capset, &header, rights) != 0) return;
  for (int right = 0; right <= CAP_LAST_CAP; ++right) ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, right, 0, 0);
}

/// Runs in the child, between fork and exec: only what is async-signal-safe. Descriptors first move above the fixed
/// numbers, so that none overwrites another. One that is -1 stays closed.
[[noreturn]] void run_child(Prepared child) {
  for (int& fd : child.descriptors)
    if (fd >= 0 && (fd = ::fcntl(fd, F_DUPFD, 16)) < 0) ::_exit(126);
  for (std::size_t i = 0; i < child.descriptors.size(); ++i) {
    const int number = protocol::kLinkFd + static_cast<int>(i);
    if (child.descriptors[i] < 0)
      ::close(number);
    else if (::dup2(child.descriptors[i], number) < 0)
      ::_exit(126);
  }
  if (::close_range(protocol::kLastFd + 1, ~0u, 0) != 0) ::_exit(126);
  ::setpgid(0, 0);
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) ::_exit(126);
  // One in a PID namespace can't see its parent, and finds its link closed instead.
  if ((child.namespaces & CLONE_NEWPID) == 0 && ::getppid() != child.parent) ::_exit(126);
  if ((child.namespaces & CLONE_NEWUSER) != 0) keep_rights();
#ifndef __SANITIZE_THREAD__  // which knows the standard layout only
  ::personality(ADDR_COMPAT_LAYOUT);
#endif
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  for (int signal : {SIGPIPE, SIGINT, SIGTERM, SIGHUP}) ::sigaction(signal, &standard, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execve(child.program, child.arguments, child.environment);
  constexpr std::string_view kText = "level=error msg=\"vgpu-executor cannot be executed\"\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kText.data(), kText.size());
  ::_exit(127);
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

/// The C library's fork() knows no namespaces. What it does beyond the kernel's is for children that go on with the
/// program; this one executes another at once.
pid_t fork_into(std::uint64_t namespaces, int& pidfd) {
  return static_cast<pid_t>(
      ::syscall(SYS_clone, namespaces | CLONE_PIDFD | SIGCHLD, nullptr, &pidfd, nullptr, nullptr));
}

}  // namespace

Child start_child(ChildSpec spec) {
  // Everything that allocates happens before the fork.
  const std::vector<char*> arguments = pointers(spec.arguments), environment = pointers(spec.environment);
  const Prepared prepared{spec.program.c_str(), arguments.data(), environment.data(),
                          spec.descriptors,     ::getpid(),       spec.namespaces};
  Child child;
  int pidfd = -1;
  child.pid = spec.namespaces != 0 ? fork_into(spec.namespaces, pidfd) : ::fork();
  if (child.pid == 0) run_child(prepared);
  if (child.pid < 0) return child;
  if (spec.namespaces == 0) pidfd = static_cast<int>(::syscall(SYS_pidfd_open, child.pid, 0));
  child.pidfd.reset(pidfd);
  ::setpgid(child.pid, child.pid);  // either of the two may be first
  if (!child.pidfd) {
    const int kept = errno;
    ::kill(child.pid, SIGKILL);
    ::waitpid(child.pid, nullptr, 0);
    errno = kept;
    child.pid = -1;
  }
  return child;
}

}  // namespace vgpu::daemon
