// The arena of a session in a VM: granules mapped on request, and who may have which.
#include <sys/eventfd.h>

#include <catch2/catch.hpp>

#include "guest.hpp"
#include "protocol/device.h"

using namespace vgpu::test;
namespace call = vgpu::protocol::call;
using vgpu::executor::VmArena;

namespace {

constexpr u64 kGranule = VGPU_ARENA_GRANULE;
constexpr u32 kChannels = 2;
constexpr u32 kChannel = 1;
constexpr u64 kArenaOffset = VGPU_CHANNEL_OFFSET(kChannels);
constexpr u64 kGranules = 8;
constexpr u64 kVmRegionBytes = VGPU_ARENA_OFFSET + kGranules * kGranule;

vgpu::executor::Region::Place vm_place() { return {VGPU_CHANNEL_OFFSET(kChannel), true, kArenaOffset, kChannel}; }

/// Memory of a VM as its daemon and its driver see it.
class VmMemory {
 public:
  VmMemory() : fd(memfd_create("bar2", MFD_CLOEXEC)), bytes_(kArenaOffset + kGranules * kGranule) {
    REQUIRE(ftruncate(fd, static_cast<off_t>(bytes_)) == 0);
    void* at = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    REQUIRE(at != MAP_FAILED);
    base_ = static_cast<std::byte*>(at);
  }
  ~VmMemory() {
    munmap(base_, bytes_);
    close(fd);
  }
  VmMemory(const VmMemory&) = delete;
  VmMemory& operator=(const VmMemory&) = delete;

  vgpu_granule& granule(u64 index) { return reinterpret_cast<vgpu_granule*>(base_ + VGPU_GRANULES_OFFSET)[index]; }
  void own(u64 first, u64 count, u32 channel = kChannel) {
    for (u64 i = first; i < first + count; ++i) granule(i).owner = static_cast<std::uint16_t>(channel + 1);
  }
  char& at(u64 granule, u64 offset = 0) {
    return *reinterpret_cast<char*>(base_ + kArenaOffset + granule * kGranule + offset);
  }

  const int fd;

 private:
  u64 bytes_;
  std::byte* base_ = nullptr;
};

u64 backing(u64 granule) { return kArenaOffset + granule * kGranule; }
Offset extent(u64 granule, u64 more = 0) { return Offset{VGPU_ARENA_OFFSET + granule * kGranule + more}; }

/// A region of the VM's second channel, its arena reserved.
struct Fixture {
  Fixture() {
    std::string error;
    REQUIRE(region.map(memory.fd, kVmRegionBytes, vm_place(), error));
    REQUIRE(region.map_arena(kArena) == vgpu::executor::Region::Arena::mapped);
  }
  VmMemory memory;
  vgpu::executor::Region region;
};

}  // namespace

TEST_CASE("extents: what is not mapped is nowhere") {
  Fixture f;
  CHECK(f.region.span(extent(0), 1) == nullptr);
  f.memory.own(3, 2);
  REQUIRE(f.region.map_extent(extent(1), 2 * kGranule, backing(3)) == VmArena::Changed::done);
  CHECK(reinterpret_cast<u64>(f.region.span(extent(1), 2 * kGranule)) == kArena + kGranule);
  CHECK(f.region.span(extent(1), 2 * kGranule + 1) == nullptr);
  CHECK(f.region.span(extent(1, kGranule / 2), kGranule) != nullptr);
  CHECK(f.region.span(extent(0, kGranule - 1), 2) == nullptr);
  CHECK(f.region.span(extent(3), 1) == nullptr);
  CHECK(f.region.span(extent(kGranules - 1), kGranule + 1) == nullptr);
  CHECK(f.memory.granule(3).held == kChannel + 1);
  CHECK(f.memory.granule(4).held == kChannel + 1);
  CHECK(f.memory.granule(5).held == 0);
}

TEST_CASE("extents: an extent is the memory that the guest's driver handed out") {
  Fixture f;
  f.memory.own(5, 1);
  REQUIRE(f.region.map_extent(extent(0), kGranule, backing(5)) == VmArena::Changed::done);
  *f.region.span(extent(0, 100), 1) = std::byte{42};
  CHECK(f.memory.at(5, 100) == 42);
  // Unmapping gives the memory back, zeroed, and the granule to the driver.
  REQUIRE(f.region.unmap_extent(extent(0), kGranule) == VmArena::Changed::done);
  CHECK(f.region.span(extent(0), 1) == nullptr);
  CHECK(f.memory.at(5, 100) == 0);
  CHECK(f.memory.granule(5).held == 0);
  CHECK(f.region.map_extent(extent(7), kGranule, backing(5)) == VmArena::Changed::done);
}

TEST_CASE("extents: discarding follows the extents to their memory") {
  Fixture f;
  f.memory.own(2, 1);
  f.memory.own(6, 1);
  REQUIRE(f.region.map_extent(extent(0), kGranule, backing(6)) == VmArena::Changed::done);
  REQUIRE(f.region.map_extent(extent(1), kGranule, backing(2)) == VmArena::Changed::done);
  for (const u64 granule : {0, 1, 2, 6}) f.memory.at(granule, kGranule - 1) = f.memory.at(granule) = 7;
  REQUIRE(f.region.discard(extent(0, VGPU_PAGE), kGranule));
  CHECK(f.memory.at(6) == 7);
  CHECK(f.memory.at(6, kGranule - 1) == 0);
  CHECK(f.memory.at(2) == 0);
  CHECK(f.memory.at(2, kGranule - 1) == 7);
  for (const u64 granule : {0, 1}) CHECK((f.memory.at(granule) == 7 && f.memory.at(granule, kGranule - 1) == 7));
  CHECK_FALSE(f.region.discard(extent(2), VGPU_PAGE));
}

TEST_CASE("extents: granules of others are refused and their marks stay") {
  Fixture f;
  f.memory.own(0, 2);
  f.memory.own(2, 1, 0);
  f.memory.granule(2).held = 1;  // by channel 0's executor
  CHECK(f.region.map_extent(extent(0), 3 * kGranule, backing(0)) == VmArena::Changed::foreign);
  CHECK(f.memory.granule(0).held == 0);
  CHECK(f.memory.granule(1).held == 0);
  CHECK(f.memory.granule(2).held == 1);
  CHECK(f.region.map_extent(extent(0), kGranule, backing(4)) == VmArena::Changed::foreign);  // nobody's
  CHECK(f.memory.granule(4).held == 0);
  // The same granule at two places: letting go of one would let go of both.
  CHECK(f.region.map_extent(extent(0), kGranule, backing(0)) == VmArena::Changed::done);
  CHECK(f.region.map_extent(extent(1), kGranule, backing(0)) == VmArena::Changed::foreign);
  CHECK(f.memory.granule(0).held == kChannel + 1);
}

TEST_CASE("extents: bounds, alignment and overlap") {
  Fixture f;
  f.memory.own(0, kGranules);
  REQUIRE(f.region.map_extent(extent(2), 2 * kGranule, backing(2)) == VmArena::Changed::done);
  CHECK(f.region.map_extent(extent(1), 2 * kGranule, backing(5)) == VmArena::Changed::bad_value);
  CHECK(f.memory.granule(5).held == 0);
  CHECK(f.region.map_extent(extent(0), 0, backing(0)) == VmArena::Changed::bad_value);
  CHECK(f.region.map_extent(extent(0, VGPU_PAGE), kGranule, backing(0)) == VmArena::Changed::bad_value);
  CHECK(f.region.map_extent(extent(0), VGPU_PAGE, backing(0)) == VmArena::Changed::bad_value);
  CHECK(f.region.map_extent(extent(0), kGranule, backing(0) + VGPU_PAGE) == VmArena::Changed::bad_value);
  CHECK(f.region.map_extent(extent(0), kGranule, backing(0) - kGranule) == VmArena::Changed::outside);
  CHECK(f.region.map_extent(extent(0), kGranule, VGPU_GRANULES_OFFSET) == VmArena::Changed::outside);
  CHECK(f.region.map_extent(extent(0), kGranule, backing(kGranules)) == VmArena::Changed::outside);
  CHECK(f.region.map_extent(extent(0), kGranule, ~u64{0} - kGranule + 1) == VmArena::Changed::outside);
  CHECK(f.region.map_extent(extent(kGranules - 1), 2 * kGranule, backing(0)) == VmArena::Changed::outside);
  CHECK(f.region.map_extent(Offset{VGPU_STAGING_OFFSET}, kGranule, backing(0)) == VmArena::Changed::outside);
  CHECK(f.region.map_extent(Offset{~u64{0} - kGranule + 1}, kGranule, backing(0)) == VmArena::Changed::outside);
  CHECK(f.region.unmap_extent(extent(1), 2 * kGranule) == VmArena::Changed::bad_value);
  CHECK(f.region.unmap_extent(extent(2), VGPU_PAGE) == VmArena::Changed::bad_value);
  CHECK(f.region.unmap_extent(extent(kGranules), kGranule) == VmArena::Changed::outside);
  CHECK(f.region.unmap_extent(extent(3), kGranule) == VmArena::Changed::done);
  CHECK(f.region.span(extent(2), kGranule) != nullptr);
}

TEST_CASE("extents: a VM's memory must hold channel, table and arena") {
  VmMemory memory;
  std::string error;
  const auto fits = [&](u64 region_bytes, vgpu::executor::Region::Place place) {
    vgpu::executor::Region region;
    return region.map(memory.fd, region_bytes, place, error);
  };
  CHECK(fits(kVmRegionBytes, vm_place()));
  CHECK_FALSE(fits(kVmRegionBytes + kGranule, vm_place()));
  CHECK_FALSE(fits(kVmRegionBytes - VGPU_PAGE, vm_place()));
  auto place = vm_place();
  place.channel_offset = kArenaOffset + kGranules * kGranule - VGPU_PAGE;
  CHECK_FALSE(fits(VGPU_ARENA_OFFSET, place));
  place = vm_place();
  place.channel = VGPU_MAX_CHANNELS;
  CHECK_FALSE(fits(kVmRegionBytes, place));
  place = vm_place();
  place.arena_offset += VGPU_PAGE;
  CHECK_FALSE(fits(kVmRegionBytes - kGranule, place));
}

TEST_CASE("extents: a session maps, registers and unmaps") {
  VmMemory memory;
  FakeCuda cuda;
  Guest guest(cuda, memory.fd, kVmRegionBytes, vm_place());
  REQUIRE(guest.call<call::vgpuAttach>({kArena, VGPU_VERSION, 0}) == CUDA_SUCCESS);
  guest.make_context();
  memory.own(4, 2);
  REQUIRE(guest.call<call::vgpuMapExtent>({extent(0), 2 * kGranule, backing(4)}) == CUDA_SUCCESS);
  CHECK(guest.call<call::vgpuMapExtent>({extent(0), kGranule, backing(4)}) == CUDA_ERROR_INVALID_VALUE);
  REQUIRE(guest.call<call::cuMemHostAlloc>({extent(0, VGPU_PAGE), kGranule, 0, 0}) == CUDA_SUCCESS);
  CHECK(guest.call<call::vgpuUnmapExtent>({extent(0), kGranule}) == CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
  CHECK(guest.call<call::vgpuUnmapExtent>({extent(1), kGranule}) == CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
  REQUIRE(guest.call<call::cuMemFreeHost>({extent(0, VGPU_PAGE), kGranule}) == CUDA_SUCCESS);
  CHECK(guest.call<call::vgpuUnmapExtent>({extent(0), 2 * kGranule}) == CUDA_SUCCESS);
  CHECK(memory.granule(4).held == 0);
  CHECK(guest.state() != VGPU_STATE_ENDED);

  guest.publish<call::vgpuMapExtent>({extent(0), kGranule, backing(0)}, 0);
  const auto event = guest.event(ExecutorEvent::Type::ended);
  REQUIRE(event);
  CHECK(event->reason == VGPU_END_BAD_BULK);
  CHECK(memory.granule(0).held == 0);
}

TEST_CASE("extents: outside of a VM there are none") {
  FakeCuda cuda;
  Guest guest(cuda);
  REQUIRE(guest.call<call::vgpuAttach>({kArena, VGPU_VERSION, 0}) == CUDA_SUCCESS);
  CHECK(guest.call<call::vgpuMapExtent>({extent(0), kGranule, 0}) == CUDA_ERROR_NOT_SUPPORTED);
  CHECK(guest.call<call::vgpuUnmapExtent>({extent(0), kGranule}) == CUDA_ERROR_NOT_SUPPORTED);
  CHECK(guest.state() != VGPU_STATE_ENDED);
}

TEST_CASE("waker: one interrupt wakes all, and a full counter is no error") {
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  REQUIRE(fd >= 0);
  vgpu::executor::InterruptWaker waker(fd);
  std::vector<vgpu_slot> slots(VGPU_SLOT_COUNT);
  vgpu::executor::Completions completions(slots.data(), waker);
  completions.wake_all();
  u64 count = 0;
  REQUIRE(read(fd, &count, sizeof count) == sizeof count);
  CHECK(count == 1);
  completions.complete({3, 1}, CUDA_SUCCESS, nullptr, 0);
  CHECK(read(fd, &count, sizeof count) < 0);  // nobody sleeps
  slots[3].sleeping = 1;
  completions.complete({3, 2}, CUDA_SUCCESS, nullptr, 0);
  REQUIRE(read(fd, &count, sizeof count) == sizeof count);
  CHECK(count == 1);
  const u64 full = ~u64{0} - 1;
  REQUIRE(write(fd, &full, sizeof full) == sizeof full);
  completions.wake_all();
  REQUIRE(read(fd, &count, sizeof count) == sizeof count);
  CHECK(count == full);
  close(fd);
}
