#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "protocol/driver.h"
#include "shim/carrier.hpp"
#include "shim/descriptor.hpp"

namespace vgpu::shim {
namespace {

using protocol::u32;
using protocol::u64;

const DeviceSystem kSystem{
    [](const char* path) { return ::open(path, O_RDWR | O_CLOEXEC); },
    [](int fd, unsigned long request, void* argument) { return ::ioctl(fd, request, argument); },
    [](void* at, u64 bytes, int flags, int fd, u64 offset) {
      return ::mmap(at, bytes, PROT_READ | PROT_WRITE, flags, fd, static_cast<off_t>(offset));
    },
};

/// How often, every 5 ms, a channel is asked for before all are said to be in use.
constexpr int kStatusTries = 40;

/// Writes what came before it to memory, before a register is written that makes others read it.
void order_before_register() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  // Uncached stores stay behind all stores that came before them.
  std::atomic_signal_fence(std::memory_order_seq_cst);
#elif defined(__aarch64__)
  asm volatile("dsb st" ::: "memory");
#else
#error "how are stores to memory and to registers ordered here?"
#endif
}

class DeviceCarrier final : public Carrier {
 public:
  DeviceCarrier(int device, u64 region_bytes, volatile u32* doorbell, const DeviceSystem& system) noexcept
      : device_(device), region_bytes_(region_bytes), doorbell_(doorbell), system_(system) {}
  ~DeviceCarrier() override {
    if (volatile u32* page = doorbell_.load(); page != nullptr) ::munmap(const_cast<u32*>(page), VGPU_PAGE);
  }

  int region_fd() const noexcept override { return device_.get(); }
  u64 region_bytes() const noexcept override { return region_bytes_; }

  void ring_doorbell() noexcept override {
    if (volatile u32* page = doorbell_.load(std::memory_order_relaxed); page != nullptr) {
      order_before_register();
      *page = 1;
      return;
    }
    const char any = 1;
    while (::write(device_.get(), &any, sizeof any) < 0 && errno == EINTR) {
    }
  }

  bool wait(vgpu_slot&, u32 index, u32, u32 ticket, std::int64_t timeout_ns) noexcept override {
    const u64 limit = timeout_ns > 0 ? static_cast<u64>(timeout_ns) : 0;
    const u64 start = now_ns();
    vgpu_wait wanted{index, ticket, limit};
    if (system_.ioctl(device_.get(), VGPU_IOC_WAIT, &wanted) == 0) return now_ns() - start < limit;
    if (errno == EINTR) return true;
    // The device is going. Its driver ends the session at once; until then this must not become a busy loop.
    const timespec nap{0, 1'000'000};
    ::nanosleep(&nap, nullptr);
    return false;
  }

  bool arena_on_demand() const noexcept override { return true; }

  u64 take_extent(std::byte* at, u64 bytes, u64& offset) noexcept override {
    vgpu_extent extent{bytes, 0};
    int result;
    do {
      result = system_.ioctl(device_.get(), VGPU_IOC_TAKE_EXTENT, &extent);
    } while (result != 0 && errno == EINTR);
    if (result != 0) return 0;
    void* got = system_.mmap(at, extent.bytes, MAP_SHARED | MAP_FIXED, device_.get(), VGPU_MMAP_EXTENT + extent.offset);
    if (got == MAP_FAILED) {
      system_.ioctl(device_.get(), VGPU_IOC_GIVE_EXTENT, &extent);
      return 0;
    }
    ::madvise(at, extent.bytes, MADV_DONTFORK);
    offset = extent.offset;
    return extent.bytes;
  }

  void give_extent(std::byte* at, u64 bytes, u64 offset) noexcept override {
    // Where the kernel has no room for a mapping more, the old one stays, and the driver's taking back empties it.
    if (::mmap(at, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED)
      ::madvise(at, bytes, MADV_DONTFORK);
    // EBUSY: the host has it for a moment longer; then it comes back when the channel is closed.
    vgpu_extent extent{bytes, offset};
    system_.ioctl(device_.get(), VGPU_IOC_GIVE_EXTENT, &extent);
  }

  bool alive() noexcept override {
    pollfd events{device_.get(), POLLIN, 0};
    if (events.fd < 0) return false;
    if (::poll(&events, 1, 0) <= 0) return true;
    return (events.revents & (POLLHUP | POLLERR | POLLNVAL)) == 0;
  }

  // The number stays taken: a thread may be about to ring. The session ends with the last mapping, at the latest with
  // the process.
  void close() noexcept override {
    const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    if (nothing < 0) return;
    if (device_.get() >= 0) ::dup3(nothing, device_.get(), O_CLOEXEC);
    ::close(nothing);
  }

  // The mappings did not come along; the open file did, and would keep the parent's session.
  void abandon() noexcept override {
    doorbell_.store(nullptr);
    device_.reset();
  }

 private:
  static u64 now_ns() noexcept {
    timespec now;
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<u64>(now.tv_sec) * 1'000'000'000u + static_cast<u64>(now.tv_nsec);
  }

  Descriptor device_;
  u64 region_bytes_;
  std::atomic<volatile u32*> doorbell_;
  const DeviceSystem& system_;
};

Opened refused(std::string reason, CUresult result = CUDA_ERROR_NO_DEVICE) {
  return {nullptr, result, std::move(reason)};
}

std::string why_not_opened(const std::string& path, int error) {
  switch (error) {
    case EBUSY:
      return "all channels of " + path + " are in use";
    case EACCES:
    case EPERM:
      return "may not open " + path + ": add the user to group vgpu";
    case ENODEV:
      return path + " has not met a daemon yet; is vgpud running on the host?";
    default:
      return "can't open " + path + ": " + std::strerror(error);
  }
}

}  // namespace

std::string device_path() {
  const char* path = std::getenv("VGPU_DEVICE");
  return path && *path ? path : "/dev/vgpu0";
}

Opened open_device_carrier(Purpose purpose) { return open_device_carrier(device_path(), kSystem, purpose); }

Opened open_device_carrier(const std::string& path, const DeviceSystem& system, Purpose purpose) {
  Descriptor device(system.open(path.c_str()));
  // Channels that others asked a status by are free again in a moment.
  for (int tries = 0; purpose == Purpose::status && device.get() < 0 && errno == EBUSY && tries < kStatusTries;
       ++tries) {
    const timespec nap{0, 5'000'000};
    ::nanosleep(&nap, nullptr);
    device.reset(system.open(path.c_str()));
  }
  if (device.get() < 0) return refused(why_not_opened(path, errno));
  vgpu_connect connect{};
  connect.abi = VGPU_DRIVER_ABI;
  connect.version = VGPU_VERSION;
  connect.features = wanted_features(purpose);
  int result;
  do {
    result = system.ioctl(device.get(), VGPU_IOC_CONNECT, &connect);
  } while (result != 0 && errno == EINTR);
  const int error = errno;
  connect.text[sizeof connect.text - 1] = 0;
  if (result != 0 && error == EINVAL)
    return refused("the driver of " + path + " is of another version; install the same version of vgpu");
  if (result != 0) return refused(path + " has no daemon: " + (connect.text[0] ? connect.text : std::strerror(error)));
  if (connect.result != 0)
    return refused("the daemon behind " + path + " refused a session: " + connect.text,
                   static_cast<CUresult>(connect.result));
  void* page = MAP_FAILED;
  if (connect.doorbell_mappable != 0) {
    page = system.mmap(nullptr, VGPU_PAGE, MAP_SHARED, device.get(), VGPU_MMAP_DOORBELL);
    if (page != MAP_FAILED) ::madvise(page, VGPU_PAGE, MADV_DONTFORK);
  }
  auto* doorbell = page != MAP_FAILED ? static_cast<volatile u32*>(page) : nullptr;
  auto carrier = std::make_unique<DeviceCarrier>(device.take(), connect.region_bytes, doorbell, system);
  return {std::move(carrier), CUDA_SUCCESS, {}};
}

}  // namespace vgpu::shim
