#include "actors/executor_process.hpp"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "actors/child_process.hpp"
#include "actors/executor_sandbox.hpp"
#include "common/descriptor_message.hpp"
#include "common/unique_fd.hpp"

namespace vgpu::daemon {
namespace {

using protocol::ExecutorCommand;
using protocol::ExecutorEvent;
using protocol::StartFd;

/// Everything that a session's executor has to know, and the descriptors that go with it.
class StartMessage {
 public:
  StartMessage(const ExecutorSpec& spec, bool with_images) {
    command.type = ExecutorCommand::Type::start;
    command.session = spec.session;
    command.vm = spec.vm;
    command.watch = spec.watch;
    command.region_bytes = spec.memory->region_bytes();
    if (const VmMemory* vm = spec.memory->vm()) {
      command.flags = ExecutorCommand::kInVm;
      command.channel_offset = spec.memory->region_offset();
      command.channel = spec.memory->channel();
      command.arena_offset = vm->arena_offset();
    }
    command.spin_microseconds = spec.spin_microseconds;
    command.images_bytes = spec.images_bytes;
    command.device = spec.driver.device;
    command.context_memory = spec.context_memory;
    if (spec.place != nullptr) command.account_slot = spec.place->slot();
    spec.pool.copy(command.pool.data(), command.pool.size() - 1);
    add(StartFd::region, spec.memory->region_fd());
    add(StartFd::stats, spec.memory->stats_fd());
    add(StartFd::account, spec.place != nullptr ? spec.place->fd() : -1);
    add(StartFd::interrupt, spec.memory->interrupt_fd());
    add(StartFd::images, with_images && spec.images != nullptr ? spec.images->get() : -1);
  }

  ExecutorCommand command;
  std::vector<int> descriptors;

 private:
  void add(StartFd which, int fd) {
    if (fd < 0) return;
    command.descriptors |= protocol::bit(which);
    descriptors.push_back(fd);
  }
};

class Process final : public PreparedExecutor, public std::enable_shared_from_this<Process> {
 public:
  Process(asio::io_context& io, Child child, UniqueFd link, ExecutorSandbox::Start started_in, bool takes_images,
          Handlers handlers)
      : io_(io),
        pid_(child.pid),
        link_(io, link.release()),
        pidfd_(io, child.pidfd.release()),
        started_in_(std::move(started_in)),
        takes_images_(takes_images),
        handlers_(std::move(handlers)) {}

  pid_t pid() const noexcept override { return pid_; }

  /// The pending wait on the pidfd keeps this object alive until the process is reaped.
  void start() {
    asio::post(io_, [self = shared_from_this()] {
      self->wait_for_event();
      self->pidfd_.async_wait(asio::posix::stream_descriptor::wait_read, [self](const asio::error_code& error) {
        if (!error) self->reap();
      });
    });
  }

  void begin(const ExecutorSpec& spec, Handlers handlers) override {
    asio::post(io_, [self = shared_from_this(), spec, handlers = std::move(handlers)]() mutable {
      self->begin_now(spec, std::move(handlers));
    });
  }

  void send(const ExecutorCommand& command) override {
    asio::post(io_, [self = shared_from_this(), command] {
      if (!self->link_.is_open()) return;
      // A full buffer means that many commands lie unread in it. Each `run` says the same, so one more says nothing
      // new; a `stop` that is lost is followed by SIGKILL.
      [[maybe_unused]] const ssize_t sent =
          ::send(self->link_.native_handle(), &command, sizeof command, MSG_DONTWAIT | MSG_NOSIGNAL);
    });
  }

  void resume() override {
    asio::post(io_, [self = shared_from_this()] { self->wait_for_event(); });
  }

  void kill() override {
    asio::post(io_, [self = shared_from_this()] { self->kill_group(); });
  }

  void abandon() override {
    asio::post(io_, [self = shared_from_this()] {
      self->handlers_ = {};
      self->kill_group();
    });
  }

 private:
  void begin_now(const ExecutorSpec& spec, Handlers handlers) {
    place_ = spec.place;
    handlers_ = std::move(handlers);
    if (reaped_) return finish();
    if (link_.is_open()) {
      const StartMessage start(spec, takes_images_);
      // It is the second message in an empty buffer: a failure means that the process is about to be gone.
      send_with_descriptors(link_.native_handle(), &start.command, sizeof start.command, start.descriptors,
                            MSG_DONTWAIT);
    }
    wait_for_event();
  }

  void kill_group() {
    if (reaped_) return;
    ::kill(-pid_, SIGKILL);
    ::kill(pid_, SIGKILL);  // if it has not made its group yet
  }

  void wait_for_event() {
    if (!link_.is_open() || waiting_) return;
    waiting_ = true;
    link_.async_wait(asio::posix::stream_descriptor::wait_read,
                     [self = shared_from_this()](const asio::error_code& error) {
                       self->waiting_ = false;
                       if (error || !self->link_.is_open()) return;
                       self->read_event();
                     });
  }

  /// Hands at most one event over; false: nothing more comes now.
  bool read_event() {
    ExecutorEvent event;
    ssize_t got = ::recv(link_.native_handle(), &event, sizeof event, MSG_DONTWAIT | MSG_TRUNC);
    // An executor that ends with a command of ours unread makes the kernel say so once, ahead of what it sent: its last
    // words, which say why it ended, come after that.
    if (got < 0 && errno == ECONNRESET)
      got = ::recv(link_.native_handle(), &event, sizeof event, MSG_DONTWAIT | MSG_TRUNC);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
      if (!reaped_) wait_for_event();
      return false;
    }
    if (got != sizeof event) {  // closed, or not our executor: either way nothing it says counts any more
      asio::error_code ignored;
      link_.close(ignored);
      if (handlers_.link_closed) handlers_.link_closed();
      return false;
    }
    event.text.back() = '\0';
    if (handlers_.event) handlers_.event(event);
    return true;
  }

  void reap() {
    kill_group();  // whatever it started; its number is not reused before it is reaped
    siginfo_t info{};
    int result = 0;
    do {
      result = ::waitid(P_PIDFD, static_cast<id_t>(pidfd_.native_handle()), &info, WEXITED);
    } while (result != 0 && errno == EINTR);
    reaped_ = true;
    how_it_ended_ = exit_text(info.si_code, info.si_status);
    started_in_ = {};
    // What it said last explains its end, so it comes first. Bounded: the buffer is.
    for (int i = 0; i < 64 && link_.is_open() && read_event(); ++i) {
    }
    asio::error_code ignored;
    link_.close(ignored);
    pidfd_.close(ignored);
    finish();
  }

  void finish() {
    if (place_ != nullptr) place_->reaped();
    Handlers handlers = std::move(handlers_);
    handlers_ = {};
    if (handlers.exited) handlers.exited(how_it_ended_);
  }

  asio::io_context& io_;
  const pid_t pid_;
  asio::posix::stream_descriptor link_;
  asio::posix::stream_descriptor pidfd_;
  ExecutorSandbox::Start started_in_;  ///< its user and cgroup are nobody else's until it is reaped
  const bool takes_images_;
  VmPlacePtr place_;  ///< of its session
  Handlers handlers_;
  std::string how_it_ended_;
  bool waiting_ = false;
  bool reaped_ = false;
};

}  // namespace

std::string exit_text(int code, int status) {
  if (code == CLD_EXITED) return "exited with code " + std::to_string(status);
  return "killed by signal " + std::to_string(status) + " (" + ::strsignal(status) + ")";
}

std::vector<std::string> executor_environment(const char* const* environment, const Driver& driver) {
  std::vector<std::string> kept;
  for (; *environment != nullptr; ++environment) {
    const std::string_view entry(*environment);
    const std::string_view name = entry.substr(0, entry.find('='));
    if (name == "LD_PRELOAD" || name == "VGPU_SOCKET" || name == "VGPU_VM_ID" || name == "VGPU_POOL") continue;
    const auto is_name = [&](const std::string& set) { return set.starts_with(std::string(name) + '='); };
    if (std::any_of(driver.environment.begin(), driver.environment.end(), is_name)) continue;
    if (name == "CUDA_VISIBLE_DEVICES" && !driver.visible_devices.empty()) continue;
    if (name == "LD_LIBRARY_PATH") {
      const std::string path = library_path_without_shim(std::string(entry.substr(name.size() + 1)));
      if (!path.empty()) kept.push_back("LD_LIBRARY_PATH=" + path);
      continue;
    }
    kept.emplace_back(entry);
  }
  if (!driver.visible_devices.empty()) kept.push_back("CUDA_VISIBLE_DEVICES=" + driver.visible_devices);
  kept.insert(kept.end(), driver.environment.begin(), driver.environment.end());
  return kept;
}

bool not_for_executors(std::string_view entry) {
  constexpr std::string_view kTheirs[] = {
      "CUDA_", "NVIDIA_", "__NV",  "__CUDA", "VGPU_", "LD_LIBRARY_PATH=", "GLIBC_TUNABLES=", "MALLOC_", "LANG=", "LC_",
      "TZ=",   "ASAN_",   "LSAN_", "TSAN_",  "UBSAN_"};
  return std::none_of(std::begin(kTheirs), std::end(kTheirs),
                      [&](std::string_view start) { return entry.starts_with(start); });
}

PreparedExecutorPtr launch_executor(asio::io_context& io, const ExecutorLaunch& launch, const ExecutorSandbox& sandbox,
                                    ExecutorProcess::Handlers handlers, std::string& error) {
  const auto failed = [&](const char* what) {
    error = std::string(what) + ": " + std::strerror(errno);
    return nullptr;
  };
  ExecutorCommand prepare;
  prepare.type = ExecutorCommand::Type::prepare;
  prepare.log_json = launch.log_json ? 1 : 0;
  const std::string library = launch.driver.library.string();
  if (library.size() >= prepare.driver_library.size()) {
    error = "the driver library's path is longer than 255 bytes: " + library;
    return nullptr;
  }
  library.copy(prepare.driver_library.data(), prepare.driver_library.size() - 1);
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) return failed("socketpair");
  UniqueFd ours(pair[0]), theirs(pair[1]);

  ExecutorSandbox::Start start_in;
  if (!sandbox.start_with(launch.driver, start_in, error)) return nullptr;
  ChildSpec child_spec;
  child_spec.program = launch.program.string();
  child_spec.arguments = start_in.order.arguments();
  child_spec.arguments.insert(child_spec.arguments.begin(), "vgpu-executor");
  child_spec.environment = executor_environment(::environ, launch.driver);
  if (!start_in.order.parts.empty()) std::erase_if(child_spec.environment, not_for_executors);
  // Compiled kernels on disk, which all programs of a user share, have no place there.
  if (start_in.order.parts.has(sandbox::Part::files)) child_spec.environment.push_back("CUDA_CACHE_DISABLE=1");
  child_spec.descriptors = {theirs.get(), launch.images != nullptr ? launch.images->get() : -1};
  child_spec.namespaces = start_in.namespaces;
  Child child = start_child(std::move(child_spec));
  if (child.pid < 0) return failed("starting the process");
  // Before it is told anything: it has hardly touched memory yet.
  const bool placed = start_in.cgroup == nullptr || start_in.cgroup->add(child.pid);
  if (!placed) failed("putting the process into its cgroup");
  auto process = std::make_shared<Process>(io, std::move(child), std::move(ours), std::move(start_in),
                                           sandbox.takes_images_later(), std::move(handlers));
  process->start();
  if (!placed) {
    process->abandon();
    return nullptr;
  }
  process->send(prepare);
  return process;
}

ExecutorProcessPtr start_executor_process(asio::io_context& io, const ExecutorSpec& spec,
                                          const ExecutorSandbox& sandbox, ExecutorProcess::Handlers handlers,
                                          std::string& error) {
  const ExecutorLaunch launch{spec.program, spec.driver, spec.log_json,
                              sandbox.takes_images_later() ? nullptr : spec.images};
  const PreparedExecutorPtr process = launch_executor(io, launch, sandbox, handlers, error);
  if (process != nullptr) process->begin(spec, std::move(handlers));
  return process;
}

}  // namespace vgpu::daemon
