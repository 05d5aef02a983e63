// The arena where its memory comes piece by piece from the guest's driver, which a test plays here.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>

#include "fake_executor.hpp"
#include "shim/arena_backing.hpp"
#include "shim/session.hpp"

using namespace vgpu::shim;
using namespace vgpu::shim::test;

namespace {

constexpr u64 kGranule = VGPU_ARENA_GRANULE;
constexpr u64 kFirst = u64{1} << 30;  ///< where the granules lie, as the driver says

/// Hands out granules of a memory of its own.
struct FakeDriver {
  explicit FakeDriver(u64 granules) : taken(granules), fd(::memfd_create("granules", MFD_CLOEXEC)) {
    REQUIRE(::ftruncate(fd, static_cast<off_t>(granules * kGranule)) == 0);
  }
  ~FakeDriver() { ::close(fd); }
  u64 used() const { return static_cast<u64>(std::count(taken.begin(), taken.end(), true)); }

  std::vector<bool> taken;
  u64 longest_run = ~u64{0};
  unsigned gives = 0;
  const int fd;
};

FakeDriver* driver = nullptr;
FakeExecutor* behind = nullptr;

class OnDemandCarrier final : public Carrier {
 public:
  explicit OnDemandCarrier(std::unique_ptr<Carrier> inner) : inner_(std::move(inner)) {}
  int region_fd() const noexcept override { return inner_->region_fd(); }
  u64 region_bytes() const noexcept override { return inner_->region_bytes(); }
  void ring_doorbell() noexcept override { inner_->ring_doorbell(); }
  bool alive() noexcept override { return inner_->alive(); }
  void close() noexcept override { inner_->close(); }
  void abandon() noexcept override { inner_->abandon(); }
  bool arena_on_demand() const noexcept override { return true; }

  u64 take_extent(std::byte* at, u64 bytes, u64& offset) noexcept override {
    const auto free = std::find(driver->taken.begin(), driver->taken.end(), false);
    const u64 first = static_cast<u64>(free - driver->taken.begin());
    u64 count = 0;
    while (count < std::min(bytes / kGranule, driver->longest_run) && first + count < driver->taken.size() &&
           !driver->taken[first + count])
      driver->taken[first + count++] = true;
    if (count == 0) return 0;
    offset = kFirst + first * kGranule;
    void* got = ::mmap(at, count * kGranule, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, driver->fd,
                       static_cast<off_t>(first * kGranule));
    return got == at ? count * kGranule : 0;
  }

  void give_extent(std::byte* at, u64 bytes, u64 offset) noexcept override {
    ::mmap(at, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    ++driver->gives;
    for (u64 i = (offset - kFirst) / kGranule, end = i + bytes / kGranule; i < end; ++i) driver->taken[i] = false;
  }

 private:
  std::unique_ptr<Carrier> inner_;
};

struct OnDemandSession {
  explicit OnDemandSession(u64 granules) : memory(granules), session(false) {
    driver = &memory;
    behind = &session.executor;
    set_carrier_opener([]() -> Opened {
      return {std::make_unique<OnDemandCarrier>(behind->carrier()), CUDA_SUCCESS, {}};
    });
    REQUIRE(cuInit(0) == CUDA_SUCCESS);
    REQUIRE(cuDevicePrimaryCtxRetain(&session.context, 0) == CUDA_SUCCESS);
    REQUIRE(cuCtxSetCurrent(session.context) == CUDA_SUCCESS);
    session.executor.forget_records();
  }

  /// Granules that the executor was told to map and not yet to unmap.
  u64 mapped() {
    u64 bytes = 0;
    for (const Record& record : session.executor.records_of<call::vgpuMapExtent>())
      bytes += record.as<call::vgpuMapExtent>().bytes;
    for (const Record& record : session.executor.records_of<call::vgpuUnmapExtent>())
      bytes -= record.as<call::vgpuUnmapExtent>().bytes;
    return bytes / kGranule;
  }

  FakeDriver memory;
  Session session;
};

constexpr u64 kKept = ArenaBacking::kKeptBytes / kGranule;

}  // namespace

TEST_CASE("on demand: nothing is taken before something is needed") {
  OnDemandSession s(32);
  CHECK(s.memory.used() == 0);
  void* pinned = nullptr;
  REQUIRE(cuMemHostAlloc(&pinned, 100, 0) == CUDA_SUCCESS);
  std::memset(pinned, 1, 100);
  CHECK(s.memory.used() == 1);
  const auto maps = s.session.executor.records_of<call::vgpuMapExtent>();
  REQUIRE(maps.size() == 1);
  const auto& map = maps[0].as<call::vgpuMapExtent>();
  CHECK(static_cast<u64>(map.extent) == VGPU_ARENA_OFFSET);
  CHECK(map.bytes == kGranule);
  CHECK(map.backing == kFirst);
  CHECK(cuMemFreeHost(pinned) == CUDA_SUCCESS);
}

TEST_CASE("on demand: runs shorter than asked are put together") {
  OnDemandSession s(32);
  s.memory.longest_run = 2;
  s.memory.taken[1] = true;  // by another channel
  void* pinned = nullptr;
  REQUIRE(cuMemHostAlloc(&pinned, 5 * kGranule - 7, 0) == CUDA_SUCCESS);
  std::memset(pinned, 1, 5 * kGranule - 7);
  const auto maps = s.session.executor.records_of<call::vgpuMapExtent>();
  REQUIRE(maps.size() == 3);
  CHECK(maps[0].as<call::vgpuMapExtent>().bytes == kGranule);
  CHECK(maps[1].as<call::vgpuMapExtent>().bytes == 2 * kGranule);
  CHECK(maps[1].as<call::vgpuMapExtent>().backing == kFirst + 2 * kGranule);
  CHECK(static_cast<u64>(maps[1].as<call::vgpuMapExtent>().extent) == VGPU_ARENA_OFFSET + kGranule);
  const auto all = s.session.executor.records();
  const auto registered = std::find_if(
      all.begin(), all.end(), [](const Record& record) { return record.header.call == call::cuMemHostAlloc::number; });
  REQUIRE(registered != all.end());
  CHECK(all.end() - registered == 1);  // after all of it was mapped
  CHECK(cuMemFreeHost(pinned) == CUDA_SUCCESS);
}

TEST_CASE("on demand: freed granules go back but for a few") {
  OnDemandSession s(32);
  void* pinned = nullptr;
  REQUIRE(cuMemHostAlloc(&pinned, 24 * kGranule, 0) == CUDA_SUCCESS);
  CHECK(s.memory.used() == 24);
  REQUIRE(cuMemFreeHost(pinned) == CUDA_SUCCESS);
  CHECK(s.memory.used() == kKept);
  CHECK(s.mapped() == kKept);
  // What was kept needs no driver and no executor.
  s.session.executor.forget_records();
  REQUIRE(cuMemHostAlloc(&pinned, kKept * kGranule, 0) == CUDA_SUCCESS);
  std::memset(pinned, 1, kKept * kGranule);
  CHECK(s.session.executor.records_of<call::vgpuMapExtent>().empty());
  void* more = nullptr;
  REQUIRE(cuMemHostAlloc(&more, kGranule, 0) == CUDA_SUCCESS);
  CHECK(s.memory.used() == kKept + 1);
  CHECK(cuMemFreeHost(pinned) == CUDA_SUCCESS);
  CHECK(cuMemFreeHost(more) == CUDA_SUCCESS);
  CHECK(s.memory.used() == kKept);
}

TEST_CASE("on demand: without granules there is no pinned memory, and nothing stays taken") {
  OnDemandSession s(12);
  void* pinned = nullptr;
  CHECK(cuMemHostAlloc(&pinned, 13 * kGranule, 0) == CUDA_ERROR_OUT_OF_MEMORY);
  CHECK(s.memory.used() <= kKept);
  REQUIRE(cuMemHostAlloc(&pinned, 12 * kGranule, 0) == CUDA_SUCCESS);
  void* more = nullptr;
  CHECK(cuMemHostAlloc(&more, 8, 0) == CUDA_ERROR_OUT_OF_MEMORY);
  CHECK(cuMemFreeHost(pinned) == CUDA_SUCCESS);
  CHECK(cuMemHostAlloc(&more, 8, 0) == CUDA_SUCCESS);
}

TEST_CASE("on demand: what is kept elsewhere in the arena is given back before memory is said to be short") {
  OnDemandSession s(10);
  void* first = nullptr;
  void* small = nullptr;
  REQUIRE(cuMemHostAlloc(&first, 4 * kGranule, 0) == CUDA_SUCCESS);
  REQUIRE(cuMemHostAlloc(&small, kGranule, 0) == CUDA_SUCCESS);
  REQUIRE(cuMemFreeHost(first) == CUDA_SUCCESS);
  CHECK(s.memory.used() == 5);
  // Too long for the hole at the arena's start, where four granules are kept.
  REQUIRE(cuMemHostAlloc(&first, 9 * kGranule, 0) == CUDA_SUCCESS);
  std::memset(first, 1, 9 * kGranule);
  CHECK(s.memory.used() == 10);
  CHECK(s.mapped() == 10);
}

TEST_CASE("on demand: the executor lets go before the driver takes back") {
  OnDemandSession s(32);
  void* pinned = nullptr;
  REQUIRE(cuMemHostAlloc(&pinned, 20 * kGranule, 0) == CUDA_SUCCESS);
  SECTION("and the driver takes back only then") {
    s.session.executor.on<call::vgpuUnmapExtent>([](const Record&) {
      CHECK(driver->gives == 0);
      return Answer{};
    });
    CHECK(cuMemFreeHost(pinned) == CUDA_SUCCESS);
    CHECK(s.memory.gives == 1);
  }
  SECTION("an executor that keeps it keeps it from others") {
    s.session.executor.on<call::vgpuUnmapExtent>([](const Record&) {
      return Answer{CUDA_ERROR_OPERATING_SYSTEM, {}, false};
    });
    CHECK(cuMemFreeHost(pinned) == CUDA_SUCCESS);
    CHECK(s.memory.gives == 0);
    CHECK(s.memory.used() == 20);
    REQUIRE(cuMemHostAlloc(&pinned, 20 * kGranule, 0) == CUDA_SUCCESS);
    std::memset(pinned, 1, 20 * kGranule);
    CHECK(s.memory.used() == 20);
  }
}

TEST_CASE("on demand: an extent that the executor does not map is given back") {
  OnDemandSession s(32);
  s.session.executor.on<call::vgpuMapExtent>([](const Record&) {
    return Answer{CUDA_ERROR_OPERATING_SYSTEM, {}, false};
  });
  void* pinned = nullptr;
  CHECK(cuMemHostAlloc(&pinned, 3 * kGranule, 0) == CUDA_ERROR_OUT_OF_MEMORY);
  CHECK(s.memory.used() == 0);
}

TEST_CASE("on demand: an earlier call's error is not lost on the way") {
  OnDemandSession s(32);
  s.session.executor.set_async_error(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
  std::byte* extent = state().host_memory.take_extent(3 * kGranule);
  REQUIRE(extent != nullptr);
  std::memset(extent, 1, 3 * kGranule);
  state().host_memory.give_extent(extent, 3 * kGranule);
  CHECK(cuCtxSynchronize() == CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
}
