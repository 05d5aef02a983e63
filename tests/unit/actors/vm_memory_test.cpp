#include "actors/vm_memory.hpp"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>

#include "actors/session_memory.hpp"

using namespace vgpu;
using namespace vgpu::daemon;

namespace {

constexpr std::uint64_t kBytes = 256u << 20;

/// The guest's side of a VM with two channels.
struct Guest {
  std::byte* memory = nullptr;
  int fd = -1;
  std::array<int, 2> interrupts{};
  std::shared_ptr<VmMemory> host;

  Guest() {
    VmDescriptors descriptors;
    descriptors.memory.reset(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    fd = descriptors.memory.get();
    REQUIRE(::ftruncate(fd, kBytes) == 0);
    REQUIRE(::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
    memory = static_cast<std::byte*>(::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    for (int& interrupt : interrupts) {
      descriptors.channels.push_back({UniqueFd(::eventfd(0, EFD_CLOEXEC)), UniqueFd(::eventfd(0, EFD_CLOEXEC))});
      interrupt = descriptors.channels.back().interrupt.get();
    }
    std::string error;
    host = VmMemory::create(std::move(descriptors), 7, kBytes, error);
    INFO(error);
    REQUIRE(host != nullptr);
  }
  ~Guest() { ::munmap(memory, kBytes); }

  vgpu_device_page& page() { return *reinterpret_cast<vgpu_device_page*>(memory); }
  vgpu_mailbox& mailbox(int channel) {
    return reinterpret_cast<vgpu_mailbox*>(memory + VGPU_MAILBOXES_OFFSET)[channel];
  }
  vgpu_granule& granule(int n) { return reinterpret_cast<vgpu_granule*>(memory + VGPU_GRANULES_OFFSET)[n]; }
  bool interrupted(int channel) {
    std::uint64_t count = 0;
    return ::read(interrupts[static_cast<std::size_t>(channel)], &count, sizeof count) == sizeof count;
  }
};

std::string why_not(VmDescriptors descriptors, std::uint64_t bytes) {
  std::string error;
  CHECK(VmMemory::create(std::move(descriptors), 1, bytes, error) == nullptr);
  return error;
}

VmDescriptors descriptors_of(int memory, std::size_t channels) {
  VmDescriptors descriptors;
  descriptors.memory.reset(memory);
  for (std::size_t i = 0; i < channels; ++i)
    descriptors.channels.push_back({UniqueFd(::eventfd(0, 0)), UniqueFd(::eventfd(0, 0))});
  return descriptors;
}

}  // namespace

TEST_CASE("A VM's memory says what it is once it is adopted") {
  Guest guest;
  guest.granule(0).held = 1;
  CHECK(guest.page().host_state == VGPU_HOST_ABSENT);
  guest.host->adopt();
  CHECK(guest.page().magic == VGPU_MAGIC);
  CHECK(guest.page().vm == 7);
  CHECK(guest.page().channels == 2);
  CHECK(guest.page().arena_offset == VGPU_CHANNEL_OFFSET(2));
  CHECK(guest.page().arena_bytes == kBytes - VGPU_CHANNEL_OFFSET(2));
  CHECK(guest.page().host_state == VGPU_HOST_READY);
  CHECK(guest.granule(0).held == 0);
  const std::uint32_t epoch = guest.page().host_epoch;
  CHECK(epoch != 0);
  CHECK(guest.interrupted(0));
  CHECK(guest.interrupted(1));
  guest.page().host_epoch = 12345;  // what the guest writes there changes nothing
  guest.host->adopt();
  CHECK(guest.page().host_epoch == epoch + 1);
}

TEST_CASE("Each request comes once, and only its own answer counts") {
  Guest guest;
  guest.mailbox(0).request = 41;  // asked of an earlier daemon
  guest.host->adopt();
  CHECK_FALSE(guest.host->take_request(0));
  vgpu_mailbox& box = guest.mailbox(0);
  box.type = VGPU_REQUEST_OPEN;
  box.pid = 99;
  std::memset(box.process, 'x', sizeof box.process);  // no end
  box.request = 42;
  const auto request = guest.host->take_request(0);
  REQUIRE(request);
  CHECK(request->open);
  CHECK(request->hello.pid == 99);
  CHECK(request->hello.vm == 7);
  CHECK(std::strlen(request->hello.process.data()) == sizeof box.process - 1);
  CHECK_FALSE(guest.host->take_request(0));
  CHECK_FALSE(guest.host->take_request(1));

  box.type = VGPU_REQUEST_CLOSE;
  box.request = 43;
  const auto close = guest.host->take_request(0);
  REQUIRE(close);
  CHECK_FALSE(close->open);
  while (guest.interrupted(0)) {
  }
  guest.host->answer_open(0, 42, {});
  CHECK(box.answered != 42);
  CHECK_FALSE(guest.interrupted(0));
  guest.host->answer_close(0, 43);
  CHECK(box.answered == 43);
  CHECK(guest.interrupted(0));

  box.type = 77;
  box.request = 44;
  CHECK_FALSE(guest.host->take_request(0));
}

TEST_CASE("The driver's wish to be forgotten is seen until it is carried out") {
  Guest guest;
  guest.page().guest_reset = 5;
  CHECK(guest.host->reset_wanted());
  guest.host->adopt();
  CHECK_FALSE(guest.host->reset_wanted());
  CHECK(guest.page().reset_done == 5);
  guest.page().guest_reset = 6;
  CHECK(guest.host->reset_wanted());
}

TEST_CASE("Granules of one channel are let go, others stay") {
  Guest guest;
  guest.host->adopt();
  guest.granule(0) = {1, 1};
  guest.granule(1) = {2, 1};
  guest.host->release_granules(0);
  CHECK(guest.granule(0).held == 0);
  CHECK(guest.granule(0).owner == 1);
  CHECK(guest.granule(1).held == 1);
}

TEST_CASE("The memory of one channel's granules is given back, that of others stays") {
  Guest guest;
  guest.host->adopt();
  std::byte* arena = guest.memory + guest.page().arena_offset;
  for (int i = 0; i < 4; ++i) {
    guest.granule(i).owner = i == 2 ? 2 : 1;
    std::memset(arena + static_cast<std::size_t>(i) * VGPU_ARENA_GRANULE, 0x5a, 4096);
  }
  guest.host->discard_granules(0);
  for (int i = 0; i < 4; ++i)
    CHECK(arena[static_cast<std::size_t>(i) * VGPU_ARENA_GRANULE] == std::byte(i == 2 ? 0x5a : 0));
}

TEST_CASE("A session in a channel finds it zeroed, and fills in its control page") {
  Guest guest;
  guest.host->adopt();
  std::byte* channel = guest.memory + VGPU_CHANNEL_OFFSET(1);
  std::memset(channel + VGPU_STAGING_OFFSET, 0x5a, 4096);
  std::string error;
  const auto memory = SessionMemory::create_in_vm(guest.host, 1, 3, VGPU_FEATURE_ARENA, error);
  REQUIRE(memory != nullptr);
  CHECK(channel[VGPU_STAGING_OFFSET] == std::byte{0});
  auto& control = *reinterpret_cast<vgpu_control*>(channel);
  CHECK(control.magic == VGPU_MAGIC);
  CHECK(control.session == 3);
  CHECK(control.vm == 7);
  CHECK(control.region_bytes == VGPU_ARENA_OFFSET + guest.page().arena_bytes);
  CHECK(memory->region_offset() == VGPU_CHANNEL_OFFSET(1));
  while (guest.interrupted(1)) {
  }
  memory->end(VGPU_END_KILLED, 999);
  CHECK(control.state == VGPU_STATE_ENDED);
  CHECK(guest.interrupted(1));
}

TEST_CASE("What a VM's memory can't be made of is refused") {
  using Catch::Contains;
  const auto memory = [](std::uint64_t bytes, int seals) {
    const int fd = ::memfd_create("test", MFD_ALLOW_SEALING);
    REQUIRE(::ftruncate(fd, static_cast<off_t>(bytes)) == 0);
    REQUIRE(::fcntl(fd, F_ADD_SEALS, seals) == 0);
    return fd;
  };
  CHECK_THAT(why_not(descriptors_of(memory(kBytes, F_SEAL_SHRINK), 0), kBytes), Contains("channels"));
  CHECK_THAT(why_not(descriptors_of(memory(kBytes, F_SEAL_SHRINK), 65), kBytes), Contains("channels"));
  CHECK_THAT(why_not(descriptors_of(memory(kBytes, F_SEAL_SHRINK), 4), kBytes), Contains("too small for 4 channels"));
  CHECK_THAT(why_not(descriptors_of(memory(kBytes, F_SEAL_SHRINK), 2), 2 * kBytes),
             Contains("smaller than the device"));
  CHECK_THAT(why_not(descriptors_of(memory(kBytes, F_SEAL_GROW), 2), kBytes), Contains("not sealed"));
  CHECK_THAT(why_not(descriptors_of(::open("/dev/zero", O_RDWR), 2), kBytes), Contains("smaller than the device"));
  VmDescriptors wrong = descriptors_of(memory(kBytes, F_SEAL_SHRINK), 2);
  wrong.channels[1].doorbell.reset(::open("/dev/zero", O_RDWR));
  CHECK_THAT(why_not(std::move(wrong), kBytes), Contains("no eventfd"));
}
