#include "actors/ivshmem_servers.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <cerrno>
#include <cstring>

#include "common/log.hpp"
#include "common/paths.hpp"
#include "common/unique_fd.hpp"

namespace vgpu::daemon {
namespace {

constexpr std::chrono::seconds kPause{1};
constexpr int kLifelineFd = 3;

/// Starts the program in a session of its own: a Ctrl-C at our terminal is not meant for it. 0: errno says why not.
pid_t spawn(std::vector<std::string> arguments, int lifeline) {
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_adddup2(&actions, lifeline, kLifelineFd);
  ::posix_spawn_file_actions_addclosefrom_np(&actions, kLifelineFd + 1);
  sigset_t none;
  ::sigemptyset(&none);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, pointers[0], &actions, &attributes, pointers.data(), ::environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  errno = error;
  return error == 0 ? pid : 0;
}

}  // namespace

struct IvshmemServers::Server {
  Server(asio::io_context& io, std::vector<std::string> command, std::uint32_t id)
      : arguments(std::move(command)), vm(id), pidfd(io), timer(io) {}

  bool start(std::string& error) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) {
      error = std::string("pipe: ") + std::strerror(errno);
      return false;
    }
    const UniqueFd theirs(ends[0]);
    lifeline.reset(ends[1]);
    pid = spawn(arguments, theirs.get());
    const int fd = pid != 0 ? static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)) : -1;
    if (fd < 0) {
      error = arguments[0] + " cannot be started: " + std::strerror(errno);
      return false;
    }
    pidfd.assign(fd);
    pidfd.async_wait(asio::posix::stream_descriptor::wait_read, [this](const asio::error_code& failure) {
      if (!failure) restart();
    });
    return true;
  }

  void restart() {
    int status = 0;
    ::waitpid(pid, &status, 0);
    asio::error_code ignored;
    pidfd.close(ignored);
    log::error("an ivshmem server ended and is started again", {{"vm", vm}, {"status", status}});
    timer.expires_after(kPause);
    timer.async_wait([this](const asio::error_code& failure) {
      std::string error;
      if (!failure && !start(error)) log::error("an ivshmem server is missing", {{"vm", vm}, {"reason", error}});
    });
  }

  const std::vector<std::string> arguments;
  const std::uint32_t vm;
  UniqueFd lifeline;
  pid_t pid = 0;
  asio::posix::stream_descriptor pidfd;
  asio::steady_timer timer;
};

std::unique_ptr<IvshmemServers> IvshmemServers::start(asio::io_context& io, const Config& config, std::string& error) {
  std::unique_ptr<IvshmemServers> all(new IvshmemServers);
  const std::string program = (executable_directory() / "vgpu-ivshmem").string();
  for (const VmConfig& vm : config.vms) {
    if (vm.ivshmem_socket.empty()) continue;
    std::vector<std::string> command{program,
                                     "--socket",
                                     vm.ivshmem_socket.string(),
                                     "--socket-mode",
                                     std::to_string(config.qemu_socket_mode),
                                     "--daemon",
                                     config.qemu_socket.string(),
                                     "--vm-id",
                                     std::to_string(vm.id),
                                     "--memory",
                                     std::to_string(vm.ivshmem_memory),
                                     "--channels",
                                     std::to_string(vm.ivshmem_channels),
                                     "--lifeline",
                                     std::to_string(kLifelineFd)};
    if (config.qemu_group) {
      command.push_back("--socket-group");
      command.push_back(std::to_string(*config.qemu_group));
    }
    all->servers_.push_back(std::make_unique<Server>(io, std::move(command), vm.id));
    if (!all->servers_.back()->start(error)) {
      error = "VM " + std::to_string(vm.id) + ": " + error;
      return nullptr;
    }
  }
  return all;
}

IvshmemServers::~IvshmemServers() = default;

}  // namespace vgpu::daemon
