// Managed memory in the guest: one address, advice that is kept and answered, and ranges that are looked at.
#include <catch2/catch.hpp>
#include <cstring>

#include "fake_executor.hpp"

using namespace vgpu::shim;
using namespace vgpu::shim::test;

namespace {

constexpr std::size_t kBytes = 8192;

CUmemLocation at(CUmemLocationType type, int id = 0) {
  CUmemLocation location{};
  location.type = type;
  location.id = id;
  return location;
}

CUdeviceptr allocate() {
  CUdeviceptr memory = 0;
  REQUIRE(cuMemAllocManaged(&memory, kBytes, CU_MEM_ATTACH_GLOBAL) == CUDA_SUCCESS);
  return memory;
}

}  // namespace

TEST_CASE("managed memory is one address for the program and for kernels") {
  Session session;
  CUdeviceptr memory = 0;
  CHECK(cuMemAllocManaged(&memory, 0, CU_MEM_ATTACH_GLOBAL) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemAllocManaged(&memory, kBytes, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemAllocManaged(&memory, kBytes, CU_MEM_ATTACH_SINGLE) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemAllocManaged(nullptr, kBytes, CU_MEM_ATTACH_GLOBAL) == CUDA_ERROR_INVALID_VALUE);
  CHECK(session.executor.records_of<call::cuMemHostAlloc>().empty());
  memory = allocate();
  std::memset(reinterpret_cast<void*>(memory), 1, kBytes);
  unsigned managed = 0;
  CHECK(cuPointerGetAttribute(&managed, CU_POINTER_ATTRIBUTE_IS_MANAGED, memory + 100) == CUDA_SUCCESS);
  CHECK(managed == 1);
  CUdeviceptr same = 0;
  CHECK(cuPointerGetAttribute(&same, CU_POINTER_ATTRIBUTE_DEVICE_POINTER, memory + 100) == CUDA_SUCCESS);
  CHECK(same == memory + 100);
  CHECK(cuMemFree(memory) == CUDA_SUCCESS);
  CHECK(cuMemFree(memory) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("advice on managed memory is checked and told again, and a range lies within its allocation") {
  Session session;
  const CUdeviceptr memory = allocate();
  const CUmemLocation device = at(CU_MEM_LOCATION_TYPE_DEVICE);
  CHECK(cuMemAdvise(memory, 4096, CU_MEM_ADVISE_SET_READ_MOSTLY, device) == CUDA_SUCCESS);
  int value = -1;
  CHECK(cuMemRangeGetAttribute(&value, sizeof value, CU_MEM_RANGE_ATTRIBUTE_READ_MOSTLY, memory, 4096) == CUDA_SUCCESS);
  CHECK(value == 1);
  CHECK(cuMemRangeGetAttribute(&value, sizeof value, CU_MEM_RANGE_ATTRIBUTE_READ_MOSTLY, memory, kBytes) ==
        CUDA_SUCCESS);
  CHECK(value == 0);
  CHECK(cuMemPrefetchAsync(memory, kBytes, device, 0, nullptr) == CUDA_SUCCESS);
  CHECK(cuMemRangeGetAttribute(&value, sizeof value, CU_MEM_RANGE_ATTRIBUTE_LAST_PREFETCH_LOCATION, memory, kBytes) ==
        CUDA_SUCCESS);
  CHECK(value == 0);

  CHECK(cuMemPrefetchAsync(memory, kBytes, device, 1, nullptr) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemPrefetchAsync(memory, kBytes, at(CU_MEM_LOCATION_TYPE_DEVICE, 99), 0, nullptr) ==
        CUDA_ERROR_INVALID_DEVICE);
  CHECK(cuMemPrefetchAsync(memory, kBytes, at(CU_MEM_LOCATION_TYPE_HOST_NUMA, -1), 0, nullptr) ==
        CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemAdvise(memory, kBytes, CU_MEM_ADVISE_SET_PREFERRED_LOCATION, at(CU_MEM_LOCATION_TYPE_INVALID)) ==
        CUDA_ERROR_INVALID_VALUE);
  CUdeviceptr plain = 0;
  REQUIRE(cuMemAlloc(&plain, kBytes) == CUDA_SUCCESS);
  struct Range {
    CUdeviceptr from;
    std::size_t bytes;
  };
  for (const Range range : {Range{memory, 0}, Range{memory, kBytes + 1}, Range{memory + 1, kBytes},
                            Range{memory + 4096, ~std::size_t{0}}, Range{plain, 64}, Range{0, 64}}) {
    CHECK(cuMemAdvise(range.from, range.bytes, CU_MEM_ADVISE_SET_READ_MOSTLY, device) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemPrefetchAsync(range.from, range.bytes, device, 0, nullptr) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemRangeGetAttribute(&value, sizeof value, CU_MEM_RANGE_ATTRIBUTE_READ_MOSTLY, range.from, range.bytes) ==
          CUDA_ERROR_INVALID_VALUE);
  }
}

TEST_CASE("an attachment names a whole managed allocation") {
  Session session;
  const CUdeviceptr memory = allocate();
  CHECK(cuStreamAttachMemAsync(nullptr, memory, 0, CU_MEM_ATTACH_GLOBAL) == CUDA_SUCCESS);
  CHECK(cuStreamAttachMemAsync(nullptr, memory, kBytes, CU_MEM_ATTACH_HOST) == CUDA_SUCCESS);
  CHECK(cuStreamAttachMemAsync(nullptr, memory, 4096, CU_MEM_ATTACH_HOST) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuStreamAttachMemAsync(nullptr, memory + 4096, 0, CU_MEM_ATTACH_HOST) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuStreamAttachMemAsync(nullptr, memory, 0, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuStreamAttachMemAsync(nullptr, 0, 0, CU_MEM_ATTACH_GLOBAL) == CUDA_ERROR_INVALID_VALUE);
}
