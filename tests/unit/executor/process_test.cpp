// vgpu-executor as a process of its own, as the daemon starts it.
#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "common/descriptor_message.hpp"
#include "protocol/executor_link.hpp"
#include "protocol/ring.hpp"

using namespace vgpu;
using namespace vgpu::protocol;
using namespace std::chrono_literals;

extern char** environ;

namespace {

constexpr u64 kRegionBytes = (64u << 20) + (4u << 20);

/// The daemon's side of one executor process, and the guest's of its ring.
class Process {
 public:
  Process() {
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    link = pair[0];
    const int region = memfd_create("region", MFD_CLOEXEC);
    const int stats = memfd_create("stats", MFD_CLOEXEC);
    REQUIRE(ftruncate(region, static_cast<off_t>(kRegionBytes)) == 0);
    REQUIRE(ftruncate(stats, sizeof(SessionStats)) == 0);
    const int account = memfd_create("account", MFD_CLOEXEC);
    REQUIRE(ftruncate(account, sizeof(VmAccount)) == 0);
    base = static_cast<std::byte*>(mmap(nullptr, VGPU_ARENA_OFFSET, PROT_READ | PROT_WRITE, MAP_SHARED, region, 0));
    control = reinterpret_cast<vgpu_control*>(base);
    const int high = fcntl(pair[1], F_DUPFD_CLOEXEC, 100);  // it may be the number that the child wants already
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, high, kLinkFd);
    std::string program = VGPU_EXECUTOR_PROGRAM;
    char* arguments[] = {program.data(), nullptr};
    REQUIRE(posix_spawn(&pid, program.c_str(), &actions, nullptr, arguments, environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
    close(pair[1]);
    close(high);
    for (int fd : {region, stats, account}) memory.emplace_back(fd);
  }
  ~Process() {
    close(link);
    if (pid > 0) waitpid(pid, nullptr, 0);
    munmap(base, VGPU_ARENA_OFFSET);
  }

  void send(ExecutorCommand command) { CHECK(::send(link, &command, sizeof command, MSG_NOSIGNAL) > 0); }
  void prepare(const std::string& library) {
    ExecutorCommand command;
    command.type = ExecutorCommand::Type::prepare;
    std::strncpy(command.driver_library.data(), library.c_str(), command.driver_library.size() - 1);
    send(command);
  }
  void begin() {
    ExecutorCommand command;
    command.type = ExecutorCommand::Type::start;
    command.session = 7;
    command.region_bytes = kRegionBytes;
    command.spin_microseconds = 50;
    command.descriptors = bit(StartFd::region) | bit(StartFd::stats) | bit(StartFd::account);
    const std::array<int, 3> fds{memory[0].get(), memory[1].get(), memory[2].get()};
    CHECK(send_with_descriptors(link, &command, sizeof command, fds) > 0);
  }
  void start(const std::string& library) {
    prepare(library);
    begin();
  }
  /// As the system calls the process.
  std::string name() const {
    std::ifstream file("/proc/" + std::to_string(pid) + "/comm");
    std::string name;
    std::getline(file, name);
    return name;
  }
  ExecutorEvent event() {
    ExecutorEvent event;
    REQUIRE(recv(link, &event, sizeof event, 0) == sizeof event);
    return event;
  }
  /// The exit status; nothing after five seconds.
  int wait() {
    for (int i = 0; i < 5000; ++i) {
      int status = 0;
      if (waitpid(pid, &status, WNOHANG) == pid) {
        pid = 0;
        return status;
      }
      std::this_thread::sleep_for(1ms);
    }
    return -1;
  }

  int link = -1;
  pid_t pid = 0;
  std::vector<UniqueFd> memory;  // region, counters, account
  std::byte* base = nullptr;
  vgpu_control* control = nullptr;
};

}  // namespace

TEST_CASE("process: starts, serves, stops") {
  Process process;
  process.start(VGPU_SOFTGPU_LIBRARY);
  const ExecutorEvent ready = process.event();
  REQUIRE(ready.type == ExecutorEvent::Type::ready);
  CHECK(ready.text[0] != '\0');

  RingWriter writer(process.control, process.base + VGPU_RING_OFFSET);
  const call::vgpuAttach::Request request{0, VGPU_VERSION, 0};
  std::byte* place = writer.reserve(record_bytes(sizeof request, 0));
  std::memcpy(place + sizeof(vgpu_record), &request, sizeof request);
  vgpu_record header{};
  header.bytes = record_bytes(sizeof request, 0);
  header.call = call::vgpuAttach::number;
  header.ticket = 1;
  writer.publish(header, &request, sizeof request);
  process.send({.type = ExecutorCommand::Type::run});
  auto& slot = *reinterpret_cast<vgpu_slot*>(process.base + VGPU_SLOTS_OFFSET);
  for (int i = 0; i < 5000 && std::atomic_ref(slot.done).load(std::memory_order_acquire) != 1; ++i)
    std::this_thread::sleep_for(1ms);
  REQUIRE(std::atomic_ref(slot.done).load() == 1);
  CHECK(slot.result == 0);
  CHECK(process.event().type == ExecutorEvent::Type::idle);
  process.send({.type = ExecutorCommand::Type::stop});
  CHECK(process.wait() == 0);
}

TEST_CASE("process: waits for its session as a spare, and goes with its daemon") {
  Process process;
  process.prepare(VGPU_SOFTGPU_LIBRARY);
  SECTION("gets one") {
    process.begin();
    CHECK(process.event().type == ExecutorEvent::Type::ready);
    CHECK(process.name() == "vgpu-s7");
    process.send({.type = ExecutorCommand::Type::stop});
  }
  SECTION("is told that there will be none") { process.send({.type = ExecutorCommand::Type::stop}); }
  SECTION("the daemon goes") { ::shutdown(process.link, SHUT_RDWR); }
  CHECK(process.wait() == 0);
}

TEST_CASE("process: a driver that can't be loaded is a failed start") {
  Process process;
  process.prepare("/nonexistent/libcuda.so.1");
  const ExecutorEvent failed = process.event();
  CHECK(failed.type == ExecutorEvent::Type::failed);
  CHECK(std::string(failed.text.data()).find("nonexistent") != std::string::npos);
  const int status = process.wait();
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 1);
}

TEST_CASE("process: ends when the daemon's socket closes") {
  Process process;
  process.start(VGPU_SOFTGPU_LIBRARY);
  REQUIRE(process.event().type == ExecutorEvent::Type::ready);
  shutdown(process.link, SHUT_RDWR);
  CHECK(process.wait() == 0);
  CHECK(std::atomic_ref(process.control->state).load() == VGPU_STATE_ENDED);
  CHECK(process.control->end_reason == VGPU_END_DAEMON_STOPPED);
}
