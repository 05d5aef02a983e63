#include "actors/session_memory.hpp"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <thread>

using namespace vgpu::daemon;

namespace {

constexpr std::uint64_t kBytes = std::uint64_t{66} << 20;

struct Mapped {
  std::shared_ptr<SessionMemory> memory;
  vgpu_control* control = nullptr;
  Mapped() {
    std::string error;
    memory = SessionMemory::create(kBytes, 3, 111, VGPU_FEATURE_ARENA, error);
    INFO(error);
    REQUIRE(memory != nullptr);
    control = static_cast<vgpu_control*>(
        ::mmap(nullptr, VGPU_ARENA_OFFSET, PROT_READ | PROT_WRITE, MAP_SHARED, memory->region_fd(), 0));
  }
  ~Mapped() { ::munmap(control, VGPU_ARENA_OFFSET); }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;
  vgpu_slot& slot(unsigned i) {
    return reinterpret_cast<vgpu_slot*>(reinterpret_cast<std::byte*>(control) + VGPU_SLOTS_OFFSET)[i];
  }
};

}  // namespace

TEST_CASE("The control page says what the layout asks for") {
  Mapped mapped;
  const vgpu_control& control = *mapped.control;
  CHECK(control.magic == VGPU_MAGIC);
  CHECK(control.version == VGPU_VERSION);
  CHECK(control.features == VGPU_FEATURE_ARENA);
  CHECK(control.region_bytes == kBytes);
  CHECK(control.arena_bytes == kBytes - VGPU_ARENA_OFFSET);
  CHECK(control.arena_address % VGPU_ARENA_GRANULE == 0);
  CHECK(control.ring_bytes == VGPU_RING_BYTES);
  CHECK(control.slot_count == VGPU_SLOT_COUNT);
  CHECK(control.session == 3);
  CHECK(control.vm == 111);
  CHECK(control.head == 0);
  CHECK(control.executor_sleeping == 1);
  CHECK(control.state == VGPU_STATE_OPENING);
}

TEST_CASE("Nobody can change the size of the shared memory") {
  Mapped mapped;
  for (int fd : {mapped.memory->region_fd(), mapped.memory->stats_fd()}) {
    CHECK(::ftruncate(fd, 4096) != 0);
    CHECK(::ftruncate(fd, static_cast<off_t>(kBytes) * 2) != 0);
    CHECK(::fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) != 0);
  }
}

TEST_CASE("The first end of a session stays") {
  Mapped mapped;
  mapped.memory->open();
  CHECK(mapped.control->state == VGPU_STATE_OPEN);
  mapped.memory->end(VGPU_END_BAD_CHECK, 719);
  mapped.memory->end(VGPU_END_CLOSED, 4);
  CHECK(mapped.control->state == VGPU_STATE_ENDED);
  CHECK(mapped.control->end_reason == VGPU_END_BAD_CHECK);
  CHECK(mapped.control->end_result == 719);
  mapped.memory->open();
  CHECK(mapped.control->state == VGPU_STATE_ENDED);
}

TEST_CASE("The end wakes a thread that sleeps on any slot") {
  Mapped mapped;
  const unsigned index = GENERATE(0u, 511u, VGPU_SLOT_COUNT - 1);
  mapped.memory->open();
  long result = -1;
  std::thread sleeper([&] {
    const timespec limit{10, 0};
    result = ::syscall(SYS_futex, &mapped.slot(index).done, FUTEX_WAIT, 0, &limit, nullptr, 0);
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  mapped.memory->end(VGPU_END_EXECUTOR_DIED, 999);
  sleeper.join();
  CHECK(result == 0);
}
