// Virtual memory in the guest: who holds physical memory, and what never crosses.
#include <catch2/catch.hpp>
#include <thread>
#include <vector>

#include "fake_executor.hpp"

using namespace vgpu::shim;
using namespace vgpu::shim::test;

namespace {

constexpr std::size_t kPiece = 2 << 20;
constexpr CUdeviceptr kRange = CUdeviceptr{0x6000} << 32;

CUmemAllocationProp properties_of(int device) {
  CUmemAllocationProp properties{};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location = {CU_MEM_LOCATION_TYPE_DEVICE, {device}};
  return properties;
}

CUmemGenericAllocationHandle create() {
  const CUmemAllocationProp properties = properties_of(0);
  CUmemGenericAllocationHandle handle = 0;
  REQUIRE(cuMemCreate(&handle, kPiece, &properties, 0) == CUDA_SUCCESS);
  return handle;
}

}  // namespace

TEST_CASE("physical memory lives while the program has it or it is mapped, and no longer") {
  Session session;
  const auto handle = create();
  const auto released = [&] { return session.executor.records_of<call::cuMemRelease>().size(); };
  REQUIRE(cuMemMap(kRange, kPiece, 0, handle, 0) == CUDA_SUCCESS);
  REQUIRE(cuMemMap(kRange + kPiece, kPiece, 0, handle, 0) == CUDA_SUCCESS);
  CHECK(cuMemRelease(handle) == CUDA_SUCCESS);
  CHECK(released() == 0);
  // The program let go of its handle: the number names nothing, though the memory is there.
  CUmemAllocationProp properties{};
  CHECK(cuMemRelease(handle) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemMap(kRange + 2 * kPiece, kPiece, 0, handle, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemGetAllocationPropertiesFromHandle(&properties, handle) == CUDA_ERROR_INVALID_VALUE);
  // By address it is found again.
  CUmemGenericAllocationHandle found = 0;
  REQUIRE(cuMemRetainAllocationHandle(&found, reinterpret_cast<void*>(kRange + 100)) == CUDA_SUCCESS);
  CHECK(cuMemGetAllocationPropertiesFromHandle(&properties, found) == CUDA_SUCCESS);
  CHECK(properties.type == CU_MEM_ALLOCATION_TYPE_PINNED);
  CHECK(cuMemUnmap(kRange, 2 * kPiece) == CUDA_SUCCESS);
  CHECK(cuMemRetainAllocationHandle(&found, reinterpret_cast<void*>(kRange)) == CUDA_ERROR_INVALID_VALUE);
  CHECK(released() == 0);
  CHECK(cuMemRelease(found) == CUDA_SUCCESS);
  CHECK(released() == 1);
  CHECK(cuMemRelease(found) == CUDA_ERROR_INVALID_VALUE);
  CHECK(released() == 1);
}

TEST_CASE("a mapping that the executor refuses is none, and one that stays mapped is still known") {
  Session session;
  const auto handle = create();
  session.executor.on<call::cuMemMap>([](const Record&) { return Answer{CUDA_ERROR_INVALID_VALUE, {}, false}; });
  CHECK(cuMemMap(kRange, kPiece, 0, handle, 0) == CUDA_ERROR_INVALID_VALUE);
  CUmemGenericAllocationHandle found = 0;
  CHECK(cuMemRetainAllocationHandle(&found, reinterpret_cast<void*>(kRange)) == CUDA_ERROR_INVALID_VALUE);
  session.executor.on<call::cuMemMap>([](const Record&) { return Answer{}; });
  session.executor.on<call::cuMemUnmap>([](const Record&) { return Answer{CUDA_ERROR_INVALID_VALUE, {}, false}; });
  REQUIRE(cuMemMap(kRange, kPiece, 0, handle, 0) == CUDA_SUCCESS);
  CHECK(cuMemUnmap(kRange, kPiece) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemRetainAllocationHandle(&found, reinterpret_cast<void*>(kRange)) == CUDA_SUCCESS);
  CHECK(found == handle);
  CHECK(cuMemRelease(handle) == CUDA_SUCCESS);
  CHECK(cuMemRelease(handle) == CUDA_SUCCESS);
  CHECK(session.executor.records_of<call::cuMemRelease>().empty());
}

TEST_CASE("the last of several threads lets physical memory go, once") {
  Session session;
  constexpr std::size_t kRounds = 50;
  for (std::size_t i = 0; i < kRounds; ++i) {
    const auto handle = create();
    REQUIRE(cuMemMap(kRange, kPiece, 0, handle, 0) == CUDA_SUCCESS);
    CUresult unmapped = CUDA_ERROR_UNKNOWN;
    std::thread other([&] { unmapped = cuMemUnmap(kRange, kPiece); });
    const CUresult released = cuMemRelease(handle);
    other.join();
    CHECK(released == CUDA_SUCCESS);
    CHECK(unmapped == CUDA_SUCCESS);
  }
  CHECK(session.executor.records_of<call::cuMemRelease>().size() == kRounds);
}

TEST_CASE("what virtual memory cannot be is answered in the guest") {
  Session session;
  CUmemGenericAllocationHandle handle = 0;
  CUmemAllocationProp properties = properties_of(0);
  CHECK(cuMemCreate(nullptr, kPiece, &properties, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemCreate(&handle, kPiece, nullptr, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemCreate(&handle, 0, &properties, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemCreate(&handle, kPiece, &properties, 1) == CUDA_ERROR_INVALID_VALUE);
  properties = properties_of(99);
  CHECK(cuMemCreate(&handle, kPiece, &properties, 0) == CUDA_ERROR_INVALID_DEVICE);
  properties = properties_of(0);
  properties.type = CU_MEM_ALLOCATION_TYPE_INVALID;
  CHECK(cuMemCreate(&handle, kPiece, &properties, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(session.executor.records_of<call::vgpuUnsupported>().empty());
  properties = properties_of(0);
  properties.requestedHandleTypes = CU_MEM_HANDLE_TYPE_FABRIC;
  CHECK(cuMemCreate(&handle, kPiece, &properties, 0) == CUDA_ERROR_NOT_SUPPORTED);
  CHECK(session.executor.records_of<call::vgpuUnsupported>().size() == 1);
  CHECK(session.executor.records_of<call::cuMemCreate>().empty());

  // Memory that might be exported is made; the export is what is refused.
  properties.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  REQUIRE(cuMemCreate(&handle, kPiece, &properties, 0) == CUDA_SUCCESS);
  int file = -1;
  CHECK(cuMemExportToShareableHandle(&file, handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0) ==
        CUDA_ERROR_NOT_SUPPORTED);
  CHECK(file == -1);

  CHECK(cuMemMap(kRange, 0, 0, handle, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemMap(kRange, kPiece, 0, handle, 1) == CUDA_ERROR_INVALID_VALUE);
  for (const u64 other : {u64{0}, u64{1}, reinterpret_cast<u64>(session.context), ~u64{0}}) {
    CHECK(cuMemMap(kRange, kPiece, 0, other, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemRelease(other) == CUDA_ERROR_INVALID_VALUE);
  }
  CHECK(session.executor.records_of<call::cuMemMap>().empty());
  CUdeviceptr range = 0;
  CHECK(cuMemAddressReserve(&range, 0, 0, 0, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemAddressReserve(&range, kPiece, 0, 0, 1) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemAddressReserve(nullptr, kPiece, 0, 0, 0) == CUDA_ERROR_INVALID_VALUE);
  CUmemAccessDesc access[2] = {{{CU_MEM_LOCATION_TYPE_DEVICE, {0}}, CU_MEM_ACCESS_FLAGS_PROT_READWRITE},
                               {{CU_MEM_LOCATION_TYPE_DEVICE, {99}}, CU_MEM_ACCESS_FLAGS_PROT_READWRITE}};
  // All of them are looked at before the first is done.
  CHECK(cuMemSetAccess(kRange, kPiece, access, 2) == CUDA_ERROR_INVALID_DEVICE);
  CHECK(cuMemSetAccess(kRange, kPiece, nullptr, 1) == CUDA_ERROR_INVALID_VALUE);
  CHECK(session.executor.records_of<call::cuMemSetAccess>().empty());
  CHECK(cuMemRelease(handle) == CUDA_SUCCESS);
}
