// Stands in for vgpu-executor: speaks the link's protocol, consumes the ring without running anything, and misbehaves
// when the pool's name or a record asks for it.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "common/descriptor_message.hpp"
#include "protocol/executor_link.hpp"
#include "protocol/layout.h"
#include "protocol/ring.hpp"

namespace {

using vgpu::protocol::ExecutorCommand;
using vgpu::protocol::ExecutorEvent;
using vgpu::protocol::SessionStats;

std::uint64_t order = 0;  // of the last run

void say(ExecutorEvent::Type type, const char* text, vgpu_end_reason reason = VGPU_END_NONE, int result = 0) {
  ExecutorEvent event;
  event.type = type;
  event.order = order;
  event.reason = reason;
  event.result = result;
  std::strncpy(event.text.data(), text, event.text.size() - 1);
  if (::send(vgpu::protocol::kLinkFd, &event, sizeof event, MSG_NOSIGNAL) != sizeof event) ::_exit(3);
}

/// Whatever else is open was inherited by mistake.
bool only_expected_descriptors() {
  for (int fd = vgpu::protocol::kLastFd + 1; fd < 256; ++fd)
    if (::fcntl(fd, F_GETFD) >= 0) return false;
  return true;
}

}  // namespace

int main() {
  ExecutorCommand prepare;
  if (::recv(vgpu::protocol::kLinkFd, &prepare, sizeof prepare, 0) != sizeof prepare) return 2;
  if (prepare.type != ExecutorCommand::Type::prepare) return 2;
  const bool none_inherited = only_expected_descriptors();
  ExecutorCommand start;
  std::vector<vgpu::UniqueFd> given;
  if (vgpu::receive_with_descriptors(vgpu::protocol::kLinkFd, &start, sizeof start, given) != sizeof start) return 2;
  if (start.type != ExecutorCommand::Type::start || given.size() < 3) return 2;
  const std::string pool = start.pool.data();
  if (!none_inherited) {
    say(ExecutorEvent::Type::failed, "inherited a descriptor", VGPU_END_EXECUTOR_START, 999);
    return 1;
  }
#ifndef __SANITIZE_THREAD__  // the daemon leaves the standard layout to such builds
  if ((::personality(0xffffffff) & ADDR_COMPAT_LAYOUT) == 0) {
    say(ExecutorEvent::Type::failed, "wrong address layout", VGPU_END_EXECUTOR_START, 999);
    return 1;
  }
#endif
  if (pool == "no-gpu") {
    say(ExecutorEvent::Type::failed, "no device in this test", VGPU_END_EXECUTOR_START, 100);
    return 1;
  }
  if (pool == "crash") ::abort();

  auto* control = static_cast<vgpu_control*>(
      ::mmap(nullptr, VGPU_ARENA_OFFSET, PROT_READ | PROT_WRITE, MAP_SHARED, given[0].get(), 0));
  auto* stats = static_cast<SessionStats*>(
      ::mmap(nullptr, sizeof(SessionStats), PROT_READ | PROT_WRITE, MAP_SHARED, given[1].get(), 0));
  if (control == MAP_FAILED || stats == MAP_FAILED) return 2;
  const auto* ring = reinterpret_cast<const std::byte*>(control) + VGPU_RING_OFFSET;
  vgpu::protocol::RingReader reader(control, ring);
  say(ExecutorEvent::Type::ready, prepare.driver_library.data());

  for (;;) {
    ExecutorCommand command;
    const ssize_t got = ::recv(vgpu::protocol::kLinkFd, &command, sizeof command, 0);
    if (got == 0) return 0;
    if (got != sizeof command) return errno == EINTR ? 4 : 2;
    if (command.type == ExecutorCommand::Type::stop) {
      if (pool == "stubborn")
        for (;;) ::pause();
      return 0;
    }
    if (command.type != ExecutorCommand::Type::run) continue;
    order = command.order;
    std::atomic_ref(control->executor_sleeping).store(0);
    vgpu::protocol::RingReader::Record record;
    for (;;) {
      const auto status = reader.next(record);
      if (status == vgpu::protocol::RingReader::Status::violation) {
        say(ExecutorEvent::Type::ended, reader.detail(), reader.reason(), 999);
        return 0;
      }
      if (status == vgpu::protocol::RingReader::Status::record) {
        stats->calls_processed.fetch_add(1);
        stats->calls_by_name[record.index].fetch_add(1);
        reader.consume(record);
        continue;
      }
      std::atomic_ref(control->executor_sleeping).store(1);
      if (!reader.pending()) break;
      std::atomic_ref(control->executor_sleeping).store(0);
    }
    say(ExecutorEvent::Type::idle, "");
  }
}
