// A driver library that misbehaves: what a guest could do that has taken its executor over. vgpud's executors load it
// in the software GPU's place. With its session's first call it shows where a secret lies in its memory, waits for a
// file `targets` in its folder of images, tries to get at what the file names, and says on stderr, line by line, what
// came of it.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

namespace {

constexpr int kMostDescriptors = 256;
int images = -1;  // the folder, which is the only one that it gets
constexpr int kErrorNoDevice = 100;
volatile char secret[32] = "nobody else may read this";

struct Targets {
  long executor = 0;          // number of another executor, as the machine counts
  unsigned long address = 0;  // of the secret in it
  long daemon = 0;
  int port = 0;  // of the metrics, on 127.0.0.1
  std::array<char, 256> socket{}, qemu_socket{}, configuration{}, above{};
};

void attempt(const char* what, bool succeeded) {
  const int error = errno;
  std::fprintf(stderr, "attempt=\"%s\" result=%s error=\"%s\"\n", what, succeeded ? "succeeded" : "refused",
               succeeded ? "" : std::strerror(error));
  errno = 0;
}

bool is_secret(const char* bytes) { return std::memcmp(bytes, const_cast<const char*>(secret), sizeof secret) == 0; }

bool by_memory_file(const Targets& targets) {
  const std::string path = "/proc/" + std::to_string(targets.executor) + "/mem";
  const int file = ::open(path.c_str(), O_RDONLY);
  std::array<char, sizeof secret> bytes{};
  return file >= 0 && ::pread(file, bytes.data(), bytes.size(), static_cast<off_t>(targets.address)) > 0 &&
         is_secret(bytes.data());
}

bool by_process_vm(const Targets& targets) {
  std::array<char, sizeof secret> bytes{};
  const iovec here{bytes.data(), bytes.size()}, there{reinterpret_cast<void*>(targets.address), bytes.size()};
  return ::process_vm_readv(static_cast<pid_t>(targets.executor), &here, 1, &there, 1, 0) > 0 &&
         is_secret(bytes.data());
}

bool by_tracing(long process) {
  if (::ptrace(PTRACE_SEIZE, static_cast<pid_t>(process), nullptr, nullptr) != 0) return false;
  ::ptrace(PTRACE_DETACH, static_cast<pid_t>(process), nullptr, nullptr);
  return true;
}

bool by_owned_descriptor(long process) {
  int ends[2];
  return ::pipe(ends) == 0 && ::fcntl(ends[0], F_SETOWN, static_cast<int>(process)) == 0 &&
         ::fcntl(ends[0], F_GETOWN) == static_cast<int>(process);
}

bool connect_to(const char* path, int type) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  const int socket = ::socket(AF_UNIX, type, 0);
  return socket >= 0 && ::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

bool connect_to_port(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  return socket >= 0 && ::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

bool can_read(int folder, const char* path) {
  const int file = ::openat(folder, path, O_RDONLY);
  char byte;
  return file >= 0 && ::read(file, &byte, 1) == 1;
}

bool execute() {
  const pid_t child = static_cast<pid_t>(::syscall(SYS_fork));
  if (child == 0) {
    ::execl("/bin/sh", "sh", "-c", "exit 7", nullptr);
    ::_exit(1);
  }
  int status = 0;
  return child > 0 && ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7;
}

bool in_place_of_itself() {
  // An executor that could do this would be a shell from now on: the last words of one that did.
  ::execl("/bin/sh", "sh", "-c", "echo 'attempt=\"become another program\" result=succeeded error=\"\"' >&2", nullptr);
  return false;
}

bool has_call(long number, long a, long b, long c, long d = 0, long e = 0) {
  const long result = ::syscall(number, a, b, c, d, e);
  return result >= 0 || (errno != ENOSYS && errno != EPERM && errno != EACCES);
}

void reach_processes(const Targets& targets) {
  attempt("read the other executor's memory by /proc", by_memory_file(targets));
  attempt("read the other executor's memory by process_vm_readv", by_process_vm(targets));
  attempt("trace the other executor", by_tracing(targets.executor));
  attempt("signal the other executor", ::kill(static_cast<pid_t>(targets.executor), 0) == 0);
  attempt("signal the other executor by a descriptor", by_owned_descriptor(targets.executor));
  attempt("signal everybody", ::kill(-1, 0) == 0);
  attempt("see the other executor",
          can_read(AT_FDCWD, ("/proc/" + std::to_string(targets.executor) + "/stat").c_str()));
  rlimit limit{};
  attempt("limit the other executor",
          ::prlimit(static_cast<pid_t>(targets.executor), RLIMIT_CORE, nullptr, &limit) == 0);
  attempt("hold the other executor", ::syscall(SYS_pidfd_open, targets.executor, 0) >= 0);
  attempt("trace the daemon", by_tracing(targets.daemon));
  attempt("signal the daemon", ::kill(static_cast<pid_t>(targets.daemon), 0) == 0);
}

void reach_out(const Targets& targets) {
  attempt("connect to the daemon's socket", connect_to(targets.socket.data(), SOCK_SEQPACKET));
  attempt("connect to the daemon's socket for QEMU", connect_to(targets.qemu_socket.data(), SOCK_STREAM));
  attempt("connect to the metrics' port", connect_to_port(targets.port));
  attempt("make a socket of the internet", ::socket(AF_INET, SOCK_DGRAM, 0) >= 0);
  attempt("make a netlink socket", ::socket(AF_NETLINK, SOCK_RAW, 0) >= 0);
  attempt("make a socket for datagrams", ::socket(AF_UNIX, SOCK_DGRAM, 0) >= 0);
}

void reach_files(const Targets& targets) {
  attempt("read the configuration", can_read(AT_FDCWD, targets.configuration.data()));
  attempt("read the configuration from the folder of images", can_read(images, targets.above.data()));
  attempt("read a list of users", can_read(AT_FDCWD, "/etc/passwd"));
  attempt("read secrets of users", can_read(AT_FDCWD, "/etc/shadow"));
  attempt("read the daemon's environment", std::getenv("INTRUDER_WANTS") != nullptr);
  attempt("write into the root",
          ::open("/intruder", O_WRONLY | O_CREAT | O_EXCL, 0600) >= 0 && ::unlink("/intruder") == 0);
  attempt("make a device", ::mknod("/tmp/intruder", S_IFCHR | 0600, 0x103) == 0 && ::unlink("/tmp/intruder") == 0);
}

void raise_rights() {
  attempt("become root", ::setresuid(0, 0, 0) == 0 && ::getuid() == 0 && ::geteuid() == 0);
  attempt("be looked into", ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
  attempt("outlive the daemon", ::prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0) == 0);
  attempt("use io_uring", has_call(SYS_io_uring_setup, 1, 0, 0));
  attempt("use bpf", has_call(SYS_bpf, 0, 0, 0));
  attempt("use performance counters", has_call(SYS_perf_event_open, 0, 0, -1, -1, 0));
  attempt("use userfaultfd", has_call(SYS_userfaultfd, 1, 0, 0));
  attempt("use keys", has_call(SYS_keyctl, 0, -3, 0));
  attempt("open by handle", has_call(SYS_open_by_handle_at, -1, 0, 0));
  attempt("start a program", execute());
  const bool own_mounts = ::unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0;
  attempt("make namespaces", own_mounts);
  // Never in the machine's own mounts: a user's who runs this without a sandbox.
  attempt("mount", ::mount("tmpfs", own_mounts ? "/dev" : "/nowhere", "tmpfs", 0, nullptr) == 0);
  attempt("become another program", in_place_of_itself());
}

/// Waits for the file; false: it never came.
bool read_targets(Targets& targets) {
  constexpr timespec kPause{0, 10'000'000};
  for (int i = 0; i < 2'500; ++i, ::nanosleep(&kPause, nullptr)) {
    const int file = ::openat(images, "targets", O_RDONLY);
    std::array<char, 2048> text{};
    const ssize_t length = file >= 0 ? ::read(file, text.data(), text.size() - 1) : -1;
    if (file >= 0) ::close(file);
    if (length > 0 && text[static_cast<std::size_t>(length) - 1] == '\n')
      return std::sscanf(text.data(), "%ld %lx %ld %d %255s %255s %255s %255s", &targets.executor, &targets.address,
                         &targets.daemon, &targets.port, targets.socket.data(), targets.qemu_socket.data(),
                         targets.configuration.data(), targets.above.data()) == 8;
  }
  return false;
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) int cuInit(unsigned) { return 0; }

__attribute__((visibility("default"))) int cuDeviceGetCount(int* count) {
  *count = 1;
  return 0;
}

__attribute__((visibility("default"))) int cuDeviceGet(int*, int) {
  struct stat folder {};
  for (int fd = 3; fd < kMostDescriptors && images < 0; ++fd)
    if (::fstat(fd, &folder) == 0 && S_ISDIR(folder.st_mode)) images = fd;
  std::fprintf(stderr, "intruder folder=%lu secret=%p\n", static_cast<unsigned long>(folder.st_ino),
               static_cast<const void*>(const_cast<const char*>(secret)));
  Targets targets;
  if (read_targets(targets)) {
    reach_processes(targets);
    reach_out(targets);
    reach_files(targets);
    raise_rights();
    std::fprintf(stderr, "intruder has tried everything\n");
  }
  return kErrorNoDevice;
}

__attribute__((visibility("default"))) int cuGetErrorName(int, const char** name) {
  *name = "CUDA_ERROR_NO_DEVICE";
  return 0;
}
}
