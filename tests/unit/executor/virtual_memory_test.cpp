// Virtual memory: physical memory by handle, devices by ordinal, and what the driver is never asked.
#include <catch2/catch.hpp>

#include "guest.hpp"

using namespace vgpu;
using namespace vgpu::test;

namespace {

constexpr u64 kPiece = u64{2} << 20;
constexpr u64 kRange = u64{0x7000} << 32;

struct Seen {
  std::size_t created = 0;
  std::size_t released = 0;
  std::size_t mapped = 0;
  std::size_t other = 0;
  CUmemAllocationProp properties{};
};
Seen seen;

CUresult create(CUmemGenericAllocationHandle* handle, std::size_t bytes, const CUmemAllocationProp* properties,
                unsigned long long) {
  if (bytes == 0 || bytes % kPiece != 0) return CUDA_ERROR_INVALID_VALUE;
  if (bytes > 16 * kPiece) return CUDA_ERROR_OUT_OF_MEMORY;
  seen.properties = *properties;
  *handle = 0x9000 + ++seen.created;
  return CUDA_SUCCESS;
}

CUresult release(CUmemGenericAllocationHandle) {
  ++seen.released;
  return CUDA_SUCCESS;
}

CUresult map(CUdeviceptr pointer, std::size_t bytes, std::size_t offset, CUmemGenericAllocationHandle handle,
             unsigned long long) {
  if (pointer % kPiece != 0 || bytes % kPiece != 0 || offset != 0 || handle != 0x9001) return CUDA_ERROR_INVALID_VALUE;
  ++seen.mapped;
  return CUDA_SUCCESS;
}

CUresult set_access(CUdeviceptr, std::size_t, const CUmemAccessDesc* description, std::size_t count) {
  ++seen.other;
  return count == 1 && description->location.id == 1 ? CUDA_SUCCESS : CUDA_ERROR_UNKNOWN;
}

CUresult get_access(unsigned long long* flags, const CUmemLocation*, CUdeviceptr) {
  ++seen.other;
  *flags = CU_MEM_ACCESS_FLAGS_PROT_READ;
  return CUDA_SUCCESS;
}

CUresult granularity(std::size_t* bytes, const CUmemAllocationProp*, CUmemAllocationGranularity_flags) {
  ++seen.other;
  *bytes = kPiece;
  return CUDA_SUCCESS;
}

executor::Driver driver_of(const FakeCuda& cuda) {
  seen = {};
  executor::Driver driver = cuda.driver();
  driver.cuMemCreate = create;
  driver.cuMemRelease = release;
  driver.cuMemMap = map;
  driver.cuMemSetAccess = set_access;
  driver.cuMemGetAccess = get_access;
  driver.cuMemGetAllocationGranularity = granularity;
  return driver;
}

}  // namespace

TEST_CASE("physical memory is made under a vacant handle, and released once") {
  FakeCuda cuda;
  const executor::Driver driver = driver_of(cuda);
  Guest guest(driver);
  const auto handle = AllocationHandle::make(1, 1);
  // What the driver refuses leaves the handle vacant.
  CHECK(guest.call<call::cuMemCreate>({handle, 0, 0, 0}) == CUDA_ERROR_INVALID_VALUE);
  CHECK(guest.call<call::cuMemCreate>({handle, kPiece + 1, 0, 0}) == CUDA_ERROR_INVALID_VALUE);
  CHECK(guest.call<call::cuMemCreate>({handle, ~(kPiece - 1), 0, 0}) == CUDA_ERROR_OUT_OF_MEMORY);
  CHECK(guest.call<call::cuMemRelease>({handle}) == CUDA_ERROR_INVALID_HANDLE);
  for (const i32 device : {2, 99, -1, static_cast<i32>(0x80000000)})
    CHECK(guest.call<call::cuMemCreate>({handle, kPiece, device, 0}) == CUDA_ERROR_INVALID_DEVICE);
  CHECK(seen.created == 0);

  CHECK(guest.call<call::cuMemCreate>({handle, kPiece, 1, 0x00030201}) == CUDA_SUCCESS);
  CHECK(seen.properties.location.id == 1);
  CHECK(seen.properties.allocFlags.compressionType == 1);
  CHECK(seen.properties.allocFlags.gpuDirectRDMACapable == 2);
  CHECK(seen.properties.allocFlags.usage == 3);
  CHECK(seen.properties.requestedHandleTypes == CU_MEM_HANDLE_TYPE_NONE);
  CHECK(guest.call<call::cuMemCreate>({handle, kPiece, 0, 0}) == CUDA_ERROR_INVALID_HANDLE);
  for (const u64 value : {u64{0}, u64{1}, StreamHandle::make(2, 1).value, ~u64{0}})
    CHECK(guest.call<call::cuMemCreate>({{value}, kPiece, 0, 0}) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(seen.created == 1);

  CHECK(guest.call<call::cuMemRelease>({AllocationHandle::make(1, 2)}) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(guest.call<call::cuMemRelease>({handle}) == CUDA_SUCCESS);
  CHECK(guest.call<call::cuMemRelease>({handle}) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(seen.released == 1);
}

TEST_CASE("only the session's own physical memory is mapped") {
  FakeCuda cuda;
  const executor::Driver driver = driver_of(cuda);
  Guest guest(driver);
  const auto handle = AllocationHandle::make(1, 1);
  REQUIRE(guest.call<call::cuMemCreate>({handle, kPiece, 0, 0}) == CUDA_SUCCESS);
  CHECK(guest.call<call::cuMemMap>({Pointer{kRange}, kPiece, 0, handle}) == CUDA_SUCCESS);
  // The number that the driver knows it by is nothing to a guest.
  for (const u64 value : {u64{0}, u64{0x9001}, AllocationHandle::make(1, 2).value, AllocationHandle::make(2, 1).value,
                          PoolHandle::make(1, 1).value, ~u64{0}})
    CHECK(guest.call<call::cuMemMap>({Pointer{kRange}, kPiece, 0, {value}}) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(guest.call<call::cuMemMap>({Pointer{kRange + 1}, kPiece, 0, handle}) == CUDA_ERROR_INVALID_VALUE);
  CHECK(guest.call<call::cuMemMap>({Pointer{kRange}, ~u64{0}, 0, handle}) == CUDA_ERROR_INVALID_VALUE);
  CHECK(guest.call<call::cuMemMap>({Pointer{kRange}, kPiece, ~u64{0}, handle}) == CUDA_ERROR_INVALID_VALUE);
  CHECK(seen.mapped == 1);
  CHECK(guest.call<call::cuMemRelease>({handle}) == CUDA_SUCCESS);
  CHECK(guest.call<call::cuMemMap>({Pointer{kRange}, kPiece, 0, handle}) == CUDA_ERROR_INVALID_HANDLE);
}

TEST_CASE("access and granularity are of devices that the guest has") {
  FakeCuda cuda;
  const executor::Driver driver = driver_of(cuda);
  Guest guest(driver);
  for (const i32 device : {2, -1}) {
    CHECK(guest.call<call::cuMemSetAccess>({Pointer{kRange}, kPiece, device, 3}) == CUDA_ERROR_INVALID_DEVICE);
    CHECK(guest.call<call::cuMemGetAccess>({Pointer{kRange}, device, 0}) == CUDA_ERROR_INVALID_DEVICE);
    CHECK(guest.call<call::cuMemGetAllocationGranularity>({device, 0, 0, 0}) == CUDA_ERROR_INVALID_DEVICE);
  }
  CHECK(guest.call<call::cuMemGetAllocationGranularity>({0, 0, 2, 0}) == CUDA_ERROR_INVALID_VALUE);
  CHECK(guest.call<call::cuMemGetAllocationGranularity>({0, 0, ~u32{0}, 0}) == CUDA_ERROR_INVALID_VALUE);
  CHECK(seen.other == 0);
  CHECK(guest.call<call::cuMemSetAccess>({Pointer{kRange}, kPiece, 1, 3}) == CUDA_SUCCESS);
  call::cuMemGetAccess::Reply access{};
  CHECK(guest.call<call::cuMemGetAccess>({Pointer{kRange}, 0, 0}, &access) == CUDA_SUCCESS);
  CHECK(access.flags == CU_MEM_ACCESS_FLAGS_PROT_READ);
  call::cuMemGetAllocationGranularity::Reply unit{};
  CHECK(guest.call<call::cuMemGetAllocationGranularity>({0, 0, 1, 0}, &unit) == CUDA_SUCCESS);
  CHECK(unit.bytes == kPiece);
}
