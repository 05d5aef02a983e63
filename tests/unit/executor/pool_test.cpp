// Memory pools: the devices' default ones by number, those of the guest by handle.
#include <catch2/catch.hpp>

#include "guest.hpp"

using namespace vgpu;
using namespace vgpu::test;

namespace {

struct Seen {
  unsigned calls = 0;
  CUmemoryPool pool = nullptr;
  CUdevice device = -1;
};
Seen seen;

CUmemoryPool default_of(CUdevice device) { return reinterpret_cast<CUmemoryPool>(0x9000 + 16 * u64(device)); }
const CUmemoryPool kMade = reinterpret_cast<CUmemoryPool>(0x9800);

CUresult note(CUmemoryPool pool, CUdevice device = -1) {
  seen = {seen.calls + 1, pool, device};
  return CUDA_SUCCESS;
}

CUresult get_default(CUmemoryPool* pool, CUdevice device) {
  *pool = default_of(device);
  return CUDA_SUCCESS;
}

CUresult create(CUmemoryPool* pool, const CUmemPoolProps* properties) {
  *pool = kMade;
  return note(kMade, properties->location.id);
}

CUresult destroy(CUmemoryPool pool) { return note(pool); }
CUresult trim(CUmemoryPool pool, std::size_t) { return note(pool); }
CUresult set_attribute(CUmemoryPool pool, CUmemPool_attribute, void*) { return note(pool); }

CUresult get_attribute(CUmemoryPool pool, CUmemPool_attribute attribute, void* value) {
  // An int is an int: no more is written.
  if (attribute <= CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES)
    *static_cast<int*>(value) = 1;
  else
    *static_cast<cuuint64_t*>(value) = attribute == CU_MEMPOOL_ATTR_USED_MEM_HIGH ? ~u64{0} : 0;
  // What is reserved is looked at beside each allocation.
  return attribute == CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT ? CUDA_SUCCESS : note(pool);
}

CUresult set_access(CUmemoryPool pool, const CUmemAccessDesc* description, std::size_t) {
  return note(pool, description->location.id);
}

CUresult get_access(CUmemAccess_flags* flags, CUmemoryPool pool, CUmemLocation* location) {
  *flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  return note(pool, location->id);
}

CUresult allocate_from(CUdeviceptr* pointer, std::size_t bytes, CUmemoryPool pool, CUstream) {
  if (bytes > u64{1} << 40) return CUDA_ERROR_OUT_OF_MEMORY;
  *pointer = u64{0x7000} << 32;
  return note(pool);
}

CUresult set_pool(CUdevice device, CUmemoryPool pool) { return note(pool, device); }

executor::Driver driver_of(const FakeCuda& cuda) {
  seen = {};
  executor::Driver driver = cuda.driver();
  driver.cuDeviceGetDefaultMemPool = get_default;
  driver.cuMemPoolCreate = create;
  driver.cuMemPoolDestroy = destroy;
  driver.cuMemPoolTrimTo = trim;
  driver.cuMemPoolGetAttribute = get_attribute;
  driver.cuMemPoolSetAttribute = set_attribute;
  driver.cuMemPoolSetAccess = set_access;
  driver.cuMemPoolGetAccess = get_access;
  driver.cuMemAllocFromPoolAsync = allocate_from;
  driver.cuDeviceSetMemPool = set_pool;
  return driver;
}

constexpr u64 kNoPools[] = {0, 1, 0x9800, ~u64{0}};

}  // namespace

TEST_CASE("a device's default pool has a number from the start, which nobody makes or destroys") {
  FakeCuda cuda;
  const executor::Driver driver = driver_of(cuda);
  Guest guest(driver);
  for (const u32 index : {1u, 2u}) {
    const auto pool = PoolHandle::make(index, 0);
    CHECK(guest.call<call::cuMemPoolCreate>({pool, 0, 0, 0}) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(guest.call<call::cuMemPoolDestroy>({pool}) == CUDA_ERROR_INVALID_VALUE);
    CHECK(guest.call<call::cuMemPoolTrimTo>({pool, 0}) == CUDA_SUCCESS);
    CHECK(seen.pool == default_of(static_cast<CUdevice>(index) - 1));
    // It is still nobody's after it was named.
    CHECK(guest.call<call::cuMemPoolDestroy>({pool}) == CUDA_ERROR_INVALID_VALUE);
  }
  CHECK(seen.calls == 2);
  CHECK(guest.call<call::cuMemPoolTrimTo>({PoolHandle::make(3, 0), 0}) == CUDA_ERROR_INVALID_VALUE);
  CHECK(seen.calls == 2);
}

TEST_CASE("a pool that the guest made is found by its handle alone, and destroyed once") {
  FakeCuda cuda;
  const executor::Driver driver = driver_of(cuda);
  Guest guest(driver);
  const auto pool = PoolHandle::make(3, 0);
  for (const i32 device : {2, -1})
    CHECK(guest.call<call::cuMemPoolCreate>({pool, device, 0, 0}) == CUDA_ERROR_INVALID_DEVICE);
  for (const u64 value : kNoPools)
    CHECK(guest.call<call::cuMemPoolCreate>({{value}, 0, 0, 0}) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(seen.calls == 0);
  REQUIRE(guest.call<call::cuMemPoolCreate>({pool, 1, 0, 0}) == CUDA_SUCCESS);
  CHECK(seen.device == 1);
  CHECK(guest.call<call::cuMemPoolCreate>({pool, 1, 0, 0}) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(guest.call<call::cuDeviceSetMemPool>({pool, 1, 0}) == CUDA_SUCCESS);
  CHECK(seen.pool == kMade);
  CHECK(guest.call<call::cuDeviceSetMemPool>({pool, 2, 0}) == CUDA_ERROR_INVALID_DEVICE);
  CHECK(guest.call<call::cuMemPoolSetAccess>({pool, 2, 3}) == CUDA_ERROR_INVALID_DEVICE);
  CHECK(guest.call<call::cuMemPoolGetAccess>({pool, -1, 0}) == CUDA_ERROR_INVALID_DEVICE);
  call::cuMemPoolGetAccess::Reply access{};
  CHECK(guest.call<call::cuMemPoolGetAccess>({pool, 0, 0}, &access) == CUDA_SUCCESS);
  CHECK(access.flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
  CHECK(guest.call<call::cuMemPoolDestroy>({pool}) == CUDA_SUCCESS);
  const unsigned calls = seen.calls;
  CHECK(guest.call<call::cuMemPoolDestroy>({pool}) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(guest.call<call::cuMemPoolTrimTo>({pool, 0}) == CUDA_ERROR_INVALID_VALUE);
  CHECK(guest.call<call::cuMemPoolSetAccess>({pool, 0, 3}) == CUDA_ERROR_INVALID_VALUE);
  CHECK(guest.call<call::cuDeviceSetMemPool>({pool, 0, 0}) == CUDA_ERROR_INVALID_VALUE);
  CHECK(seen.calls == calls);
}

TEST_CASE("attributes of a pool are the known ones, of either width") {
  FakeCuda cuda;
  const executor::Driver driver = driver_of(cuda);
  Guest guest(driver);
  const auto pool = PoolHandle::make(1, 0);
  for (const u32 attribute : {0u, 9u, 0x80000000u, ~0u}) {
    CHECK(guest.call<call::cuMemPoolGetAttribute>({pool, attribute, 0}) == CUDA_ERROR_INVALID_VALUE);
    CHECK(guest.call<call::cuMemPoolSetAttribute>({pool, attribute, 0, 0}) == CUDA_ERROR_INVALID_VALUE);
  }
  for (const u64 value : kNoPools)
    CHECK(guest.call<call::cuMemPoolGetAttribute>({{value}, 4, 0}) == CUDA_ERROR_INVALID_VALUE);
  CHECK(seen.calls == 0);
  call::cuMemPoolGetAttribute::Reply reply{};
  CHECK(guest.call<call::cuMemPoolGetAttribute>({pool, CU_MEMPOOL_ATTR_USED_MEM_HIGH, 0}, &reply) == CUDA_SUCCESS);
  CHECK(reply.value == ~u64{0});
  CHECK(guest.call<call::cuMemPoolGetAttribute>({pool, CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC, 0}, &reply) ==
        CUDA_SUCCESS);
  CHECK(reply.value == 1);
}

TEST_CASE("memory is taken from a pool that there is, in a stream that there is") {
  FakeCuda cuda;
  const executor::Driver driver = driver_of(cuda);
  Guest guest(driver);
  guest.make_context();
  const auto pool = PoolHandle::make(1, 0);
  call::cuMemAllocFromPoolAsync::Reply reply{};
  CHECK(guest.call<call::cuMemAllocFromPoolAsync>({4096, pool, {0}}, &reply) == CUDA_SUCCESS);
  CHECK(static_cast<u64>(reply.pointer) == u64{0x7000} << 32);
  CHECK(seen.pool == default_of(0));
  CHECK(guest.call<call::cuMemAllocFromPoolAsync>({~u64{0}, pool, {0}}) == CUDA_ERROR_OUT_OF_MEMORY);
  CHECK(guest.call<call::cuMemAllocFromPoolAsync>({4096, pool, StreamHandle::make(7, 1)}) == CUDA_ERROR_INVALID_HANDLE);
  for (const u64 value : kNoPools)
    CHECK(guest.call<call::cuMemAllocFromPoolAsync>({4096, {value}, {0}}) == CUDA_ERROR_INVALID_VALUE);
  CHECK(seen.calls == 1);
}
