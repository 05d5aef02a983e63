// A VM's limits on a whole driver: over them each way to take something is refused, counted, and takes nothing; within
// them the guest is told the numbers that are counted.
#include <catch2/catch.hpp>

#include "protocol/graph_node.hpp"
#include "protocol/payload.hpp"
#include "whole_driver.hpp"

using namespace vgpu;
using namespace vgpu::test;

namespace {

constexpr u64 kMiB = u64{1} << 20;
constexpr u64 kLimit = 96 * kMiB;
/// More than half of it.
constexpr u64 kPiece = 50 * kMiB;

struct Limited {
  explicit Limited(u64 memory = kLimit, u64 context_memory = 0)
      : guest(whole_driver(), config(memory, context_memory)) {
    guest.make_context();
  }
  executor::SessionConfig config(u64 memory, u64 context_memory) {
    account->limits[static_cast<std::size_t>(Limit::memory)] = memory;
    account->slots_used = 2;
    executor::SessionConfig made;
    made.account = {account.get(), 1};
    made.context_memory = context_memory;
    return made;
  }
  void limit(Limit kind, u64 most) { account->limits[static_cast<std::size_t>(kind)] = most; }
  u64 refused(Limit kind) const { return guest.stats->refused[static_cast<std::size_t>(kind)]; }
  u64 used() const { return guest.stats->memory_used_bytes; }
  /// What the driver itself says, which knows of no limit.
  u64 taken() {
    CUcontext context = nullptr;
    std::size_t free = 0, total = 0;
    REQUIRE(whole_driver().cuDevicePrimaryCtxRetain(&context, 0) == CUDA_SUCCESS);
    REQUIRE(whole_driver().cuCtxSetCurrent(context) == CUDA_SUCCESS);
    REQUIRE(whole_driver().cuMemGetInfo_v2(&free, &total) == CUDA_SUCCESS);
    whole_driver().cuCtxSetCurrent(nullptr);
    whole_driver().cuDevicePrimaryCtxRelease_v2(0);
    return total - free;
  }
  /// take() fits once and not twice; give() makes room again.
  template <typename Take, typename Give>
  void one_fits(Take&& take, Give&& give) {
    const u64 before = used();
    for (int round = 0; round < 2; ++round) {
      const u64 refusals = refused(Limit::memory);
      REQUIRE(take(0) == CUDA_SUCCESS);
      CHECK(used() >= before + kPiece);
      CHECK(used() <= kLimit);
      const u64 device = taken();
      CHECK(take(1) == CUDA_ERROR_OUT_OF_MEMORY);
      CHECK(taken() == device);
      CHECK(refused(Limit::memory) == refusals + 1);
      REQUIRE(give(0) == CUDA_SUCCESS);
      CHECK(used() == before);
    }
  }

  std::unique_ptr<VmAccount> account = std::make_unique<VmAccount>();
  Guest guest;
};

GraphHandle make_graph(Guest& guest) {
  call::cuGraphCreate::Reply reply{};
  REQUIRE(guest.call<call::cuGraphCreate>({0, 0}, &reply) == CUDA_SUCCESS);
  return reply.graph;
}

CUresult add_allocation(Guest& guest, GraphHandle graph, u64 bytes) {
  AllocationNode node{};
  node.bytes = bytes;
  node.allocation_type = CU_MEM_ALLOCATION_TYPE_PINNED;
  node.location_type = CU_MEM_LOCATION_TYPE_DEVICE;
  return guest.call<call::cuGraphAddNode>({graph, CU_GRAPH_NODE_TYPE_MEM_ALLOC, 0, kInline}, nullptr,
                                          std::as_bytes(std::span(&node, 1)));
}

CUresult load(Guest& guest, ModuleHandle module, u64 variable) {
  const std::string ptx = ".version 7.0\n.target sm_70\n.address_size 64\n.visible .global .align 4 .b8 big[" +
                          std::to_string(variable) + "];\n.visible .entry none()\n{\n  ret;\n}\n";
  call::cuModuleLoadData::Request request{};
  request.module = module;
  request.image = Offset{VGPU_STAGING_OFFSET};
  request.image_bytes = ptx.size();
  std::memcpy(guest.region.staging(), ptx.data(), ptx.size());
  return guest.call<call::cuModuleLoadData>(request);
}

}  // namespace

TEST_CASE("limits: plain memory, and rows of it") {
  Limited vm;
  std::array<call::cuMemAlloc::Reply, 2> plain{};
  vm.one_fits([&](int i) { return vm.guest.call<call::cuMemAlloc>({kPiece}, &plain[i]); },
              [&](int i) { return vm.guest.call<call::cuMemFree>({plain[i].pointer}); });
  std::array<call::cuMemAllocPitch::Reply, 2> rows{};
  vm.one_fits(
      [&](int i) {
        return vm.guest.call<call::cuMemAllocPitch>({1000, 50 * 1024, 4, 0}, &rows[i]);
      },
      [&](int i) { return vm.guest.call<call::cuMemFree>({rows[i].pointer}); });
  for (const u64 bytes : {kLimit + 1, ~u64{0}, u64{1} << 63})
    CHECK(vm.guest.call<call::cuMemAlloc>({bytes}) == CUDA_ERROR_OUT_OF_MEMORY);
  CHECK(vm.guest.call<call::cuMemAllocPitch>({~u64{0}, ~u64{0}, 4, 0}) == CUDA_ERROR_OUT_OF_MEMORY);
  CHECK(vm.guest.call<call::cuMemAllocPitch>({u64{1} << 40, u64{1} << 40, 4, 0}) == CUDA_ERROR_OUT_OF_MEMORY);
}

TEST_CASE("limits: what an ending session of the VM still holds is waited for") {
  Limited vm;
  vm.account->slots[0].held[0] = kPiece;
  CHECK(vm.guest.allocate(kPiece) == 0);
  vm.account->slots[0].ending = 1;
  // More than there will ever be is not waited for.
  CHECK(vm.guest.call<call::cuMemAlloc>({kLimit + 1}) == CUDA_ERROR_OUT_OF_MEMORY);
  vm.guest.publish<call::cuMemAlloc>({kPiece}, 5);
  const u32 ticket = vm.guest.ticket();
  vm.guest.settle();
  vm.account->slots[0].held[0] = 0;
  vm.account->slots[0].ending = 0;
  REQUIRE(vm.guest.wait(5, ticket));
  CHECK(vm.guest.region.slots()[5].result == CUDA_SUCCESS);
  CHECK(vm.used() == kPiece);
}

TEST_CASE("limits: memory of a stream's pool counts as what the pool keeps") {
  Limited vm;
  const auto stream = vm.guest.make_stream(1);
  std::array<call::cuMemAllocAsync::Reply, 2> got{};
  const auto free = [&](int i) {
    vm.guest.publish<call::cuMemFreeAsync>({got[i].pointer, stream});
    return vm.guest.call<call::cuCtxSynchronize>({0});
  };
  vm.one_fits([&](int i) { return vm.guest.call<call::cuMemAllocAsync>({kPiece, stream}, &got[i]); }, free);

  // Freed as plain memory is.
  REQUIRE(vm.guest.call<call::cuMemAllocAsync>({kPiece, stream}, &got[0]) == CUDA_SUCCESS);
  REQUIRE(vm.guest.call<call::cuMemFree>({got[0].pointer}) == CUDA_SUCCESS);
  CHECK(vm.used() == 0);

  // A pool that keeps what was freed in it.
  const auto pool = PoolHandle::make(3, 0);
  REQUIRE(vm.guest.call<call::cuMemPoolCreate>({pool, 0, 0, 0}) == CUDA_SUCCESS);
  REQUIRE(vm.guest.call<call::cuMemPoolSetAttribute>({pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, 0, ~u64{0}}) ==
          CUDA_SUCCESS);
  call::cuMemAllocFromPoolAsync::Reply from{};
  REQUIRE(vm.guest.call<call::cuMemAllocFromPoolAsync>({kPiece, pool, stream}, &from) == CUDA_SUCCESS);
  CHECK(vm.guest.call<call::cuMemAllocFromPoolAsync>({kPiece, pool, stream}) == CUDA_ERROR_OUT_OF_MEMORY);
  got[0].pointer = from.pointer;
  REQUIRE(free(0) == CUDA_SUCCESS);
  CHECK(vm.used() == kPiece);
  CHECK(vm.guest.allocate(kPiece) == 0);
  // It has what is asked for, and needs nothing of the device.
  REQUIRE(vm.guest.call<call::cuMemAllocFromPoolAsync>({kPiece, pool, stream}, &from) == CUDA_SUCCESS);
  CHECK(vm.used() == kPiece);
  got[0].pointer = from.pointer;
  REQUIRE(free(0) == CUDA_SUCCESS);
  // Another pool gets what this one does not need.
  REQUIRE(vm.guest.call<call::cuMemAllocAsync>({kPiece, stream}, &got[1]) == CUDA_SUCCESS);
  CHECK(vm.used() == kPiece);
  REQUIRE(free(1) == CUDA_SUCCESS);
  CHECK(vm.used() == 0);
  // As the current pool of the device.
  REQUIRE(vm.guest.call<call::cuDeviceSetMemPool>({pool, 0, 0}) == CUDA_SUCCESS);
  REQUIRE(vm.guest.call<call::cuMemAllocAsync>({kPiece, stream}, &got[0]) == CUDA_SUCCESS);
  CHECK(vm.used() == kPiece);
  REQUIRE(free(0) == CUDA_SUCCESS);
  CHECK(vm.used() == kPiece);
  CHECK(vm.guest.call<call::cuMemPoolTrimTo>({pool, 0}) == CUDA_SUCCESS);
  CHECK(vm.used() == 0);
  // What is in use of a pool that is destroyed is charged until it is freed.
  REQUIRE(vm.guest.call<call::cuMemAllocFromPoolAsync>({kPiece, pool, stream}, &from) == CUDA_SUCCESS);
  CHECK(vm.guest.call<call::cuMemPoolDestroy>({pool}) == CUDA_SUCCESS);
  CHECK(vm.guest.call<call::cuCtxSynchronize>({0}) == CUDA_SUCCESS);
  CHECK(vm.used() == kPiece);
  CHECK(vm.guest.call<call::cuMemAllocAsync>({kPiece, stream}) == CUDA_ERROR_OUT_OF_MEMORY);
  got[0].pointer = from.pointer;
  REQUIRE(free(0) == CUDA_SUCCESS);
  CHECK(vm.used() == 0);
  REQUIRE(vm.guest.call<call::cuMemAllocAsync>({kPiece, stream}, &got[0]) == CUDA_SUCCESS);
  REQUIRE(free(0) == CUDA_SUCCESS);
}

TEST_CASE("limits: a stream may take again what was freed in it before, though it is still at work") {
  Limited vm;
  const auto stream = vm.guest.make_stream(1);
  for (int i = 0; i < 4; ++i) {
    call::cuMemAllocAsync::Reply got{};
    REQUIRE(vm.guest.call<call::cuMemAllocAsync>({kPiece, stream}, &got) == CUDA_SUCCESS);
    vm.guest.publish<call::cuMemsetD8Async>({got.pointer, kPiece, stream, 1, 0});
    vm.guest.publish<call::cuMemFreeAsync>({got.pointer, stream});
  }
  CHECK(vm.guest.call<call::cuCtxSynchronize>({0}) == CUDA_SUCCESS);
  CHECK(vm.refused(Limit::memory) == 0);
  CHECK(vm.used() == 0);
}

TEST_CASE("limits: plain memory that is freed in a stream counts until that is known to be done") {
  Limited vm;
  const auto stream = vm.guest.make_stream(1);
  const u64 pointer = vm.guest.allocate(kPiece);
  REQUIRE(pointer != 0);
  if (vm.guest.call<call::cuMemFreeAsync>({Pointer{pointer}, stream}, nullptr, {}, 5) == CUDA_SUCCESS)
    CHECK(vm.used() == kPiece);
  CHECK(vm.guest.call<call::cuCtxSynchronize>({0}) == CUDA_SUCCESS);
}

TEST_CASE("limits: physical memory counts as long as its handle or a mapping of it") {
  Limited vm;
  constexpr u64 kPhysical = 50 * kMiB;
  std::array handles{AllocationHandle::make(1, 1), AllocationHandle::make(2, 1)};
  vm.one_fits(
      [&](int i) {
        return vm.guest.call<call::cuMemCreate>({handles[i], kPhysical, 0, 0});
      },
      [&](int i) { return vm.guest.call<call::cuMemRelease>({handles[i]}); });
  call::cuMemAddressReserve::Reply range{};
  REQUIRE(vm.guest.call<call::cuMemAddressReserve>({kPhysical, 0, Pointer{0}}, &range) == CUDA_SUCCESS);
  REQUIRE(vm.guest.call<call::cuMemCreate>({handles[0], kPhysical, 0, 0}) == CUDA_SUCCESS);
  REQUIRE(vm.guest.call<call::cuMemMap>({range.pointer, kPhysical, 0, handles[0]}) == CUDA_SUCCESS);
  CHECK(vm.guest.call<call::cuMemRelease>({handles[0]}) == CUDA_SUCCESS);
  CHECK(vm.used() == kPhysical);
  CHECK(vm.guest.call<call::cuMemCreate>({handles[1], kPhysical, 0, 0}) == CUDA_ERROR_OUT_OF_MEMORY);
  // An unmapping that the driver refuses leaves it mapped.
  CHECK(vm.guest.call<call::cuMemUnmap>({range.pointer, kMiB}) != CUDA_SUCCESS);
  CHECK(vm.used() == kPhysical);
  CHECK(vm.guest.call<call::cuMemUnmap>({range.pointer, kPhysical}) == CUDA_SUCCESS);
  CHECK(vm.used() == 0);
  CHECK(vm.guest.call<call::cuMemAddressFree>({range.pointer, kPhysical}) == CUDA_SUCCESS);
}

TEST_CASE("limits: arrays, with and without levels") {
  Limited vm;
  std::array arrays{ArrayHandle::make(1, 1), ArrayHandle::make(2, 1)};
  const ArrayShape shape{4096, 3200, 0, CU_AD_FORMAT_FLOAT, 1, 0, 0};
  vm.one_fits(
      [&](int i) {
        return vm.guest.call<call::cuArray3DCreate>({arrays[i], shape});
      },
      [&](int i) { return vm.guest.call<call::cuArrayDestroy>({arrays[i]}); });
  std::array mipmapped{MipmappedArrayHandle::make(1, 1), MipmappedArrayHandle::make(2, 1)};
  const ArrayShape top{4096, 2800, 0, CU_AD_FORMAT_FLOAT, 1, 0, 0};
  vm.one_fits(
      [&](int i) {
        return vm.guest.call<call::cuMipmappedArrayCreate>({mipmapped[i], top, 4, 0});
      },
      [&](int i) { return vm.guest.call<call::cuMipmappedArrayDestroy>({mipmapped[i]}); });
}

TEST_CASE("limits: a module's variables") {
  Limited vm;
  std::array modules{ModuleHandle::make(1, 1), ModuleHandle::make(2, 1)};
  vm.one_fits([&](int i) { return load(vm.guest, modules[i], kPiece); },
              [&](int i) { return vm.guest.call<call::cuModuleUnload>({modules[i]}); });
}

TEST_CASE("limits: allocation nodes, with and without a graph to run") {
  Limited vm;
  GraphHandle graph = make_graph(vm.guest);
  vm.one_fits([&](int) { return add_allocation(vm.guest, graph, kPiece); },
              [&](int) {
                const CUresult result = vm.guest.call<call::cuGraphDestroy>({graph});
                graph = make_graph(vm.guest);
                return result;
              });
  REQUIRE(add_allocation(vm.guest, graph, kPiece) == CUDA_SUCCESS);
  const auto exec = GraphExecHandle::make(1, 1);
  call::cuGraphInstantiateWithParams::Reply made{};
  REQUIRE(vm.guest.call<call::cuGraphInstantiateWithParams>({exec, graph, 0, {0}}, &made) == CUDA_SUCCESS);
  REQUIRE(made.error == 0);
  CHECK(vm.used() == kPiece);
  CHECK(vm.guest.allocate(kPiece) == 0);
  REQUIRE(vm.guest.call<call::cuGraphDestroy>({graph}) == CUDA_SUCCESS);
  CHECK(vm.used() == kPiece);
  REQUIRE(vm.guest.call<call::cuGraphExecDestroy>({exec}) == CUDA_SUCCESS);
  REQUIRE(vm.guest.call<call::cuCtxSynchronize>({0}) == CUDA_SUCCESS);
  CHECK(vm.used() == 0);
}

TEST_CASE("limits: an allocation that a capture records") {
  Limited vm;
  const auto stream = vm.guest.make_stream(1);
  call::cuStreamBeginCapture::Reply begun{};
  REQUIRE(vm.guest.call<call::cuStreamBeginCapture>({stream}, &begun) == CUDA_SUCCESS);
  REQUIRE(vm.guest.call<call::cuMemAllocAsync>({kPiece, stream}) == CUDA_SUCCESS);
  CHECK(vm.used() == kPiece);
  CHECK(vm.guest.call<call::cuMemAllocAsync>({kPiece, stream}) == CUDA_ERROR_OUT_OF_MEMORY);
  call::cuStreamEndCapture::Reply ended{};
  REQUIRE(vm.guest.call<call::cuStreamEndCapture>({stream, 0, 0}, &ended) == CUDA_SUCCESS);
  REQUIRE(vm.guest.call<call::cuGraphDestroy>({ended.graph}) == CUDA_SUCCESS);
  CHECK(vm.used() == 0);
}

TEST_CASE("limits: a context takes what it takes, and its end gives all back that lived in it") {
  Limited vm(kLimit, 20 * kMiB);
  CHECK(vm.used() == 20 * kMiB);
  const auto second = ContextHandle::make(2, 1);
  REQUIRE(vm.guest.call<call::cuCtxCreate>({second, 0, 0}) == CUDA_SUCCESS);
  CHECK(vm.used() == 40 * kMiB);
  vm.guest.context = 2;
  REQUIRE(vm.guest.allocate(50 * kMiB) != 0);
  CHECK(vm.guest.call<call::cuCtxCreate>({ContextHandle::make(3, 1), 0, 0}) == CUDA_ERROR_OUT_OF_MEMORY);
  vm.guest.context = 1;
  CHECK(vm.guest.call<call::cuCtxDestroy>({second}) == CUDA_SUCCESS);
  CHECK(vm.used() == 20 * kMiB);
  REQUIRE(vm.guest.allocate(kPiece) != 0);
  CHECK(vm.guest.call<call::cuDevicePrimaryCtxReset>({0, 0}) == CUDA_SUCCESS);
  CHECK(vm.used() == 0);
}

TEST_CASE("limits: a larger heap for kernels counts") {
  Limited vm;
  CHECK(vm.guest.call<call::cuCtxSetLimit>({CU_LIMIT_MALLOC_HEAP_SIZE, 0, kLimit + 9 * kMiB}) ==
        CUDA_ERROR_OUT_OF_MEMORY);
  CHECK(vm.guest.call<call::cuCtxSetLimit>({CU_LIMIT_MALLOC_HEAP_SIZE, 0, 18 * kMiB}) == CUDA_SUCCESS);
  CHECK(vm.used() == 10 * kMiB);
  CHECK(vm.guest.call<call::cuCtxSetLimit>({CU_LIMIT_MALLOC_HEAP_SIZE, 0, 8 * kMiB}) == CUDA_SUCCESS);
  CHECK(vm.used() == 0);
}

TEST_CASE("limits: the guest is told the numbers that are counted, with what its VM's other sessions hold") {
  Limited vm;
  call::cuMemGetInfo::Reply info{};
  REQUIRE(vm.guest.call<call::cuMemGetInfo>({0}, &info) == CUDA_SUCCESS);
  CHECK(info.total == kLimit);
  CHECK(info.free == kLimit);
  REQUIRE(vm.guest.allocate(1000) != 0);
  vm.account->slots[0].held[0] = 30 * kMiB;
  REQUIRE(vm.guest.call<call::cuMemGetInfo>({0}, &info) == CUDA_SUCCESS);
  CHECK(info.total - info.free == 30 * kMiB + vm.used());
  CHECK(vm.used() == 1024);
  CHECK(vm.guest.allocate(kLimit - 30 * kMiB) == 0);
  CHECK(vm.guest.allocate(info.free / (2 * kMiB) * (2 * kMiB)) != 0);
  REQUIRE(vm.guest.call<call::vgpuDeviceInfo>({0, 0, Offset{VGPU_STAGING_OFFSET}, sizeof(DeviceInfo)}) == CUDA_SUCCESS);
  DeviceInfo device;
  std::memcpy(&device, vm.guest.region.staging(), sizeof device);
  CHECK(device.total_memory == kLimit);
  // Without a limit they are the driver's own.
  vm.limit(Limit::memory, 0);
  REQUIRE(vm.guest.call<call::cuMemGetInfo>({0}, &info) == CUDA_SUCCESS);
  CHECK(info.total > kLimit);
}

TEST_CASE("limits: streams and events over the limit fail at a later call, modules and graphs at once") {
  Limited vm;
  vm.limit(Limit::streams, 2);
  vm.limit(Limit::events, 2);
  vm.limit(Limit::modules, 1);
  vm.limit(Limit::graphs, 2);
  vm.guest.make_stream(1);
  const auto last = vm.guest.make_stream(2);
  vm.guest.settle();
  CHECK(shared(vm.guest.control->async_error).load() == CUDA_SUCCESS);
  vm.guest.make_stream(3);
  vm.guest.settle();
  CHECK(shared(vm.guest.control->async_error).exchange(0) == CUDA_ERROR_OUT_OF_MEMORY);
  CHECK(vm.refused(Limit::streams) == 1);
  vm.guest.publish<call::cuStreamDestroy>({last});
  vm.guest.make_stream(4);
  for (u32 i = 1; i <= 2; ++i) vm.guest.publish<call::cuEventCreate>({EventHandle::make(i, 1), 0, 0});
  vm.guest.settle();
  CHECK(shared(vm.guest.control->async_error).load() == CUDA_SUCCESS);
  CHECK(vm.guest.call<call::cuEventCreate>({EventHandle::make(3, 1), 0, 0}) == CUDA_ERROR_OUT_OF_MEMORY);
  CHECK(vm.refused(Limit::events) == 1);
  const auto first = ModuleHandle::make(1, 1);
  REQUIRE(load(vm.guest, first, 4) == CUDA_SUCCESS);
  CHECK(load(vm.guest, ModuleHandle::make(2, 1), 4) == CUDA_ERROR_OUT_OF_MEMORY);
  CHECK(vm.guest.call<call::cuModuleUnload>({first}) == CUDA_SUCCESS);
  CHECK(load(vm.guest, ModuleHandle::make(2, 1), 4) == CUDA_SUCCESS);
  CHECK(vm.refused(Limit::modules) == 1);
  const GraphHandle graph = make_graph(vm.guest);
  REQUIRE(vm.guest.call<call::cuGraphInstantiateWithParams>({GraphExecHandle::make(1, 1), graph, 0, {0}}) ==
          CUDA_SUCCESS);
  CHECK(vm.guest.call<call::cuGraphCreate>({0, 0}) == CUDA_ERROR_OUT_OF_MEMORY);
  CHECK(vm.guest.call<call::cuGraphInstantiateWithParams>({GraphExecHandle::make(2, 1), graph, 0, {0}}) ==
        CUDA_ERROR_OUT_OF_MEMORY);
  CHECK(vm.refused(Limit::graphs) == 2);
  CHECK(vm.guest.call<call::cuGraphDestroy>({graph}) == CUDA_SUCCESS);
  CHECK(vm.guest.call<call::cuGraphCreate>({0, 0}) == CUDA_SUCCESS);
}

TEST_CASE("limits: page-locked memory") {
  Limited vm;
  vm.limit(Limit::arena, 2 * kMiB);
  REQUIRE(vm.guest.call<call::vgpuAttach>({kArena, VGPU_VERSION, 0}) == CUDA_SUCCESS);
  const Offset first{VGPU_ARENA_OFFSET};
  const Offset second{VGPU_ARENA_OFFSET + 2 * kMiB};
  REQUIRE(vm.guest.call<call::cuMemHostAlloc>({first, 2 * kMiB - 100, 0, 0}) == CUDA_SUCCESS);
  CHECK(vm.guest.call<call::cuMemHostAlloc>({second, 1, 0, 0}) == CUDA_ERROR_OUT_OF_MEMORY);
  CHECK(vm.refused(Limit::arena) == 1);
  CHECK(vm.guest.call<call::cuMemFreeHost>({first, 2 * kMiB - 100}) == CUDA_SUCCESS);
  CHECK(vm.guest.call<call::cuMemHostAlloc>({second, 1, 0, 0}) == CUDA_SUCCESS);
}

TEST_CASE("limits: calls over the rate wait, and none fails") {
  Limited vm;
  vm.account->calls_per_second = 2000;
  for (int i = 0; i < 400; ++i) vm.guest.publish<call::cuEventCreate>({EventHandle::make(u32(i) + 1, 1), 0, 0});
  vm.guest.settle();
  CHECK(shared(vm.guest.control->async_error).load() == CUDA_SUCCESS);
  CHECK(vm.guest.stats->calls_delayed.load() > 0);
  CHECK(vm.account->slots[1].held[static_cast<std::size_t>(Limit::events)] >= 400);
}
