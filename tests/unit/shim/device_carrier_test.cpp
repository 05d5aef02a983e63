// The carrier of /dev/vgpu0 over a driver that a test plays.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "protocol/driver.h"
#include "shim/carrier.hpp"

using namespace vgpu::shim;
using vgpu::protocol::u32;
using vgpu::protocol::u64;

namespace {

constexpr u64 kGranule = VGPU_ARENA_GRANULE;

struct FakeDevice {
  int open_error = 0;
  int busy_opens = 0;  ///< that fail before others are tried
  int connect_error = 0;
  vgpu_connect answer{};
  vgpu_connect asked{};
  int wait_error = 0;
  vgpu_wait waited{};
  u64 free_bytes = 0;
  std::vector<vgpu_extent> given;
  bool refuse_mapping = false;
  int fd = -1;
  int written[2] = {-1, -1};  ///< a pipe: what is written to the device comes out
  void* doorbell = nullptr;
};

FakeDevice* device = nullptr;

int fail(int error) {
  errno = error;
  return -1;
}

int fake_ioctl(int, unsigned long request, void* argument) {
  if (request == VGPU_IOC_CONNECT) {
    auto& connect = *static_cast<vgpu_connect*>(argument);
    device->asked = connect;
    connect = device->answer;
    return device->connect_error ? fail(device->connect_error) : 0;
  }
  if (request == VGPU_IOC_WAIT) {
    device->waited = *static_cast<vgpu_wait*>(argument);
    return device->wait_error ? fail(device->wait_error) : 0;
  }
  auto& extent = *static_cast<vgpu_extent*>(argument);
  if (request == VGPU_IOC_TAKE_EXTENT) {
    if (device->free_bytes == 0) return fail(ENOMEM);
    extent = {std::min(extent.bytes, device->free_bytes), 7 * kGranule};
    device->free_bytes -= extent.bytes;
    return 0;
  }
  if (request == VGPU_IOC_GIVE_EXTENT) {
    device->given.push_back(extent);
    return 0;
  }
  return fail(ENOTTY);
}

const DeviceSystem kFake{
    [](const char*) {
      if (device->busy_opens > 0 && device->busy_opens-- > 0) return fail(EBUSY);
      return device->open_error ? fail(device->open_error) : ::dup(device->written[1]);
    },
    fake_ioctl,
    [](void* at, u64 bytes, int flags, int, u64 offset) -> void* {
      if (device->refuse_mapping) return MAP_FAILED;
      if (offset == VGPU_MMAP_DOORBELL)
        return device->doorbell = ::mmap(at, bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
      CHECK(offset == VGPU_MMAP_EXTENT + 7 * kGranule);
      return ::mmap(at, bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
    },
};

struct Fixture {
  Fixture() {
    device = &fake;
    REQUIRE(::pipe2(fake.written, O_NONBLOCK | O_CLOEXEC) == 0);
    fake.answer.region_bytes = VGPU_ARENA_OFFSET + 8 * kGranule;
  }
  ~Fixture() {
    for (const int fd : fake.written) ::close(fd);
  }
  Opened open() { return open_device_carrier("/dev/vgpu0", kFake); }
  ssize_t rings() {
    char bytes[16];
    return ::read(fake.written[0], bytes, sizeof bytes);
  }
  FakeDevice fake;
};

}  // namespace

TEST_CASE("device: it says why it can't be opened") {
  Fixture f;
  const auto reason = [&](int error) {
    f.fake.open_error = error;
    const Opened opened = f.open();
    CHECK(opened.carrier == nullptr);
    CHECK(opened.result == CUDA_ERROR_NO_DEVICE);
    return opened.reason;
  };
  CHECK(reason(EBUSY) == "all channels of /dev/vgpu0 are in use");
  CHECK(reason(EACCES) == "may not open /dev/vgpu0: add the user to group vgpu");
  CHECK(reason(ENODEV).find("vgpud") != std::string::npos);
  CHECK(reason(EIO).find(std::strerror(EIO)) != std::string::npos);
}

TEST_CASE("device: a session that does not come about says why") {
  Fixture f;
  std::strcpy(f.fake.answer.text, "as many sessions as VM 3 may have");
  SECTION("the daemon refused it") {
    f.fake.answer.result = CUDA_ERROR_OUT_OF_MEMORY;
    const Opened opened = f.open();
    CHECK(opened.carrier == nullptr);
    CHECK(opened.result == CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(opened.reason == "the daemon behind /dev/vgpu0 refused a session: as many sessions as VM 3 may have");
  }
  SECTION("there is no daemon") {
    f.fake.connect_error = ENOTCONN;
    const Opened opened = f.open();
    CHECK(opened.carrier == nullptr);
    CHECK(opened.reason == "/dev/vgpu0 has no daemon: as many sessions as VM 3 may have");
  }
  SECTION("the driver is another one") {
    f.fake.connect_error = EINVAL;
    CHECK(f.open().reason.find("another version") != std::string::npos);
  }
  CHECK(f.fake.asked.abi == VGPU_DRIVER_ABI);
  CHECK(f.fake.asked.version == VGPU_VERSION);
  CHECK(f.fake.asked.features == (VGPU_FEATURE_ARENA | VGPU_FEATURE_HOST_FUNCTIONS));
}

TEST_CASE("device: a status is asked for by its feature, and waits for a channel for a moment") {
  Fixture f;
  f.fake.busy_opens = 3;
  const Opened opened = open_device_carrier("/dev/vgpu0", kFake, Purpose::status);
  CHECK(opened.carrier != nullptr);
  CHECK(f.fake.asked.features == VGPU_FEATURE_STATUS);
  f.fake.busy_opens = 1;
  CHECK(f.open().carrier == nullptr);  // a session does not
}

TEST_CASE("device: the doorbell is a store where its page can be mapped, else a write") {
  Fixture f;
  SECTION("store") {
    f.fake.answer.doorbell_mappable = 1;
    const Opened opened = f.open();
    REQUIRE(opened.carrier);
    opened.carrier->ring_doorbell();
    CHECK(*static_cast<u32*>(f.fake.doorbell) == 1);
    CHECK(f.rings() < 0);
    opened.carrier->abandon();
    opened.carrier->ring_doorbell();  // goes nowhere
  }
  SECTION("write") {
    const Opened opened = f.open();
    REQUIRE(opened.carrier);
    opened.carrier->ring_doorbell();
    CHECK(f.rings() == 1);
    opened.carrier->close();
    opened.carrier->ring_doorbell();  // no other file's either
    CHECK(f.rings() < 0);
  }
  SECTION("write, because the page can't be mapped after all") {
    f.fake.answer.doorbell_mappable = 1;
    f.fake.refuse_mapping = true;
    const Opened opened = f.open();
    REQUIRE(opened.carrier);
    opened.carrier->ring_doorbell();
    CHECK(f.rings() == 1);
  }
}

TEST_CASE("device: waiting is the driver's") {
  Fixture f;
  const Opened opened = f.open();
  REQUIRE(opened.carrier);
  vgpu_slot slot{};
  CHECK(opened.carrier->wait(slot, 9, 1, 2, 1'000'000'000));
  CHECK(f.fake.waited.slot == 9);
  CHECK(f.fake.waited.ticket == 2);
  CHECK(f.fake.waited.timeout_ns == 1'000'000'000);
  f.fake.wait_error = EINTR;
  CHECK(opened.carrier->wait(slot, 9, 1, 2, 1'000'000'000));
  f.fake.wait_error = ENODEV;
  CHECK_FALSE(opened.carrier->wait(slot, 9, 1, 2, 1'000'000'000));
  f.fake.wait_error = 0;
  CHECK_FALSE(opened.carrier->wait(slot, 9, 1, 2, 0));  // the time is over
}

TEST_CASE("device: it is gone when the driver hangs up") {
  Fixture f;
  const Opened opened = f.open();
  REQUIRE(opened.carrier);
  CHECK(opened.carrier->alive());
  ::close(f.fake.written[0]);
  f.fake.written[0] = -1;
  CHECK_FALSE(opened.carrier->alive());
}

TEST_CASE("device: extents are mapped where they are wanted and given back") {
  Fixture f;
  const Opened opened = f.open();
  REQUIRE(opened.carrier);
  CHECK(opened.carrier->arena_on_demand());
  auto* range = static_cast<std::byte*>(
      ::mmap(nullptr, 4 * kGranule, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  u64 offset = 0;
  CHECK(opened.carrier->take_extent(range, 2 * kGranule, offset) == 0);
  f.fake.free_bytes = 2 * kGranule;
  CHECK(opened.carrier->take_extent(range, 4 * kGranule, offset) == 2 * kGranule);
  CHECK(offset == 7 * kGranule);
  std::memset(range, 1, 2 * kGranule);
  opened.carrier->give_extent(range, 2 * kGranule, offset);
  REQUIRE(f.fake.given.size() == 1);
  CHECK(f.fake.given[0].bytes == 2 * kGranule);
  CHECK(f.fake.given[0].offset == 7 * kGranule);
  // Nothing lies there any more: the kernel refuses to read it.
  CHECK(::write(f.fake.written[1], range, 1) < 0);
  CHECK(errno == EFAULT);
  f.fake.free_bytes = kGranule;
  f.fake.refuse_mapping = true;
  CHECK(opened.carrier->take_extent(range, kGranule, offset) == 0);
  CHECK(f.fake.given.size() == 2);
  ::munmap(range, 4 * kGranule);
}

TEST_CASE("device: one message says why neither carrier works") {
  ::setenv("VGPU_SOCKET", "/nonexistent/vgpud.sock", 1);
  SECTION("no device") {
    ::setenv("VGPU_DEVICE", "/nonexistent/vgpu0", 1);
    const Opened opened = open_carrier();
    CHECK(opened.carrier == nullptr);
    CHECK(opened.reason.find("there is no /nonexistent/vgpu0") != std::string::npos);
    CHECK(opened.reason.find("/nonexistent/vgpud.sock") != std::string::npos);
  }
  SECTION("no vgpu device") {
    ::setenv("VGPU_DEVICE", "/dev/null", 1);
    const Opened opened = open_carrier();
    CHECK(opened.carrier == nullptr);
    CHECK(opened.reason.find("/dev/null") != std::string::npos);
    CHECK(opened.reason.find("/nonexistent/vgpud.sock") != std::string::npos);
  }
  SECTION("only the one that is named") {
    ::setenv("VGPU_DEVICE", "/nonexistent/vgpu0", 1);
    ::setenv("VGPU_CARRIER", "device", 1);
    CHECK(open_carrier().reason.find("vgpud.sock") == std::string::npos);
    ::setenv("VGPU_CARRIER", "unix", 1);
    CHECK(open_carrier().reason.find("vgpu0") == std::string::npos);
    ::setenv("VGPU_CARRIER", "pigeon", 1);
    CHECK(open_carrier().reason.find("pigeon") != std::string::npos);
    ::unsetenv("VGPU_CARRIER");
  }
  ::unsetenv("VGPU_DEVICE");
  ::unsetenv("VGPU_SOCKET");
}
