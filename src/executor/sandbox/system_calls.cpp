#include "executor/sandbox/system_calls.hpp"

#include <asm/ioctls.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <type_traits>

namespace vgpu::executor {
namespace {

using Filter = std::unique_ptr<std::remove_pointer_t<scmp_filter_ctx>, void (*)(scmp_filter_ctx)>;

/// The kernel looks at the lower half of an argument that is an int; what is in the upper half is the caller's to say.
constexpr scmp_datum_t kInt = 0xffffffff;

scmp_arg_cmp is_int(unsigned argument, unsigned value) {
  return {argument, SCMP_CMP_MASKED_EQ, kInt, static_cast<scmp_datum_t>(value)};
}
scmp_arg_cmp is(unsigned argument, scmp_datum_t value) { return {argument, SCMP_CMP_EQ, value, 0}; }
scmp_arg_cmp bits_are(unsigned argument, scmp_datum_t mask, scmp_datum_t value) {
  return {argument, SCMP_CMP_MASKED_EQ, mask, value};
}

struct Bound {
  int call;
  unsigned count;
  std::array<scmp_arg_cmp, 2> arguments;
};

bool add(const Filter& filter, std::uint32_t action, const Bound& bound) {
  return ::seccomp_rule_add_array(filter.get(), action, bound.call, bound.count, bound.arguments.data()) == 0;
}

/// What may be called. Anything else looks as on a kernel that does not have it: libraries know how to do without.
bool allow_calls(const Filter& filter) {
  constexpr int kCalls[] = {
#define CALL(name) SCMP_SYS(name),
#include "executor/sandbox/system_calls.def"
#undef CALL
  };
  for (const int call : kCalls)
    if (::seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0) != 0) return false;
  const auto self = static_cast<scmp_datum_t>(::getpid());
  constexpr scmp_datum_t kSocketType = 0xf;  // of the argument that has flags, too
  const Bound bounds[] = {
      // Threads, no processes. clone3 is missing: its flags lie where a filter can't look.
      {SCMP_SYS(clone), 1, {bits_are(0, CLONE_THREAD, CLONE_THREAD)}},
      // Signals for itself.
      {SCMP_SYS(kill), 1, {is(0, self)}},
      {SCMP_SYS(tgkill), 1, {is(0, self)}},
      {SCMP_SYS(rt_sigqueueinfo), 1, {is(0, self)}},
      {SCMP_SYS(rt_tgsigqueueinfo), 1, {is(0, self)}},
      {SCMP_SYS(prlimit64), 1, {is(0, 0)}},
      {SCMP_SYS(move_pages), 1, {is(0, 0)}},
      {SCMP_SYS(setpriority), 1, {is(0, PRIO_PROCESS)}},
      {SCMP_SYS(personality), 1, {is_int(0, 0xffffffff)}},  // asks which one it is
      // NVIDIA's driver listens on a socket for processes that share memory with it. A datagram could be sent to
      // anyone.
      {SCMP_SYS(socket), 2, {is(0, AF_UNIX), bits_are(1, kSocketType, SOCK_STREAM)}},
      {SCMP_SYS(socket), 2, {is(0, AF_UNIX), bits_are(1, kSocketType, SOCK_SEQPACKET)}},
      {SCMP_SYS(socketpair), 1, {is(0, AF_UNIX)}},
      {SCMP_SYS(sendto), 1, {is(4, 0)}},
  };
  for (const Bound& bound : bounds)
    if (!add(filter, SCMP_ACT_ALLOW, bound)) return false;
  return true;
}

/// What no argument of an allowed call may say.
bool forbid_arguments(const Filter& filter) {
  const Bound bounds[] = {
      {SCMP_SYS(ioctl), 1, {is_int(1, TIOCSTI)}},    // types into the operator's terminal
      {SCMP_SYS(ioctl), 1, {is_int(1, TIOCLINUX)}},  // the same on a console
      // A signal of one's choice for another process, once a descriptor is ready.
      {SCMP_SYS(ioctl), 1, {is_int(1, FIOSETOWN)}},
      {SCMP_SYS(ioctl), 1, {is_int(1, SIOCSPGRP)}},
      {SCMP_SYS(fcntl), 1, {is_int(1, F_SETOWN)}},
      {SCMP_SYS(fcntl), 1, {is_int(1, F_SETOWN_EX)}},
      // What the sandbox itself has set.
      {SCMP_SYS(prctl), 1, {is_int(0, PR_SET_PDEATHSIG)}},
      {SCMP_SYS(prctl), 1, {is_int(0, PR_SET_DUMPABLE)}},
      {SCMP_SYS(prctl), 1, {is_int(0, PR_SET_PTRACER)}},
      {SCMP_SYS(prctl), 1, {is_int(0, PR_SET_MM)}},
  };
  for (const Bound& bound : bounds)
    if (!add(filter, SCMP_ACT_ERRNO(EPERM), bound)) return false;
  return true;
}

Filter make_filter(std::uint32_t otherwise) {
  Filter filter(::seccomp_init(otherwise), [](scmp_filter_ctx made) {
    if (made != nullptr) ::seccomp_release(made);
  });
  if (filter) ::seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);  // a tree: each call costs few steps
  return filter;
}

}  // namespace

std::string install_system_call_filter() {
  // The kernel takes the strictest answer of all filters. Arguments that are forbidden come first: once the other is in
  // force, no more filters can be installed.
  const Filter arguments = make_filter(SCMP_ACT_ALLOW), calls = make_filter(SCMP_ACT_ERRNO(ENOSYS));
  if (!arguments || !calls || !forbid_arguments(arguments) || !allow_calls(calls)) return "the filter can't be made";
  for (const Filter* filter : {&arguments, &calls})
    if (const int error = ::seccomp_load(filter->get()); error != 0)
      return std::string("seccomp: ") + std::strerror(-error);
  return {};
}

}  // namespace vgpu::executor
