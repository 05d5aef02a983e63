#include <unistd.h>

#include "fixture.hpp"

using softgpu_test::download;
using softgpu_test::Gpu;
using softgpu_test::launch;

namespace {

constexpr std::size_t kUnit = std::size_t{2} << 20;

CUmemAllocationProp on_device(bool exported = false) {
  CUmemAllocationProp properties{};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  if (exported) properties.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  return properties;
}

CUresult open_to_device(CUdeviceptr memory, std::size_t bytes) {
  CUmemAccessDesc access{};
  access.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  return cuMemSetAccess(memory, bytes, &access, 1);
}

std::size_t available() {
  std::size_t free_bytes = 0;
  std::size_t total = 0;
  REQUIRE_OK(cuMemGetInfo(&free_bytes, &total));
  return free_bytes;
}

}  // namespace

TEST_CASE("virtual memory: a range that grows, as caching allocators use it") {
  Gpu gpu;
  const std::size_t before = available();
  const auto properties = on_device();
  std::size_t unit = 0;
  REQUIRE_OK(cuMemGetAllocationGranularity(&unit, &properties, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
  CHECK(unit == kUnit);
  CUdeviceptr range = 0;
  REQUIRE_OK(cuMemAddressReserve(&range, 8 * kUnit, 0, 0, 0));
  CUmemGenericAllocationHandle handles[2] = {};
  for (std::size_t i = 0; i < 2; ++i) {
    REQUIRE_OK(cuMemCreate(&handles[i], kUnit, &properties, 0));
    REQUIRE_OK(cuMemMap(range + i * kUnit, kUnit, 0, handles[i], 0));
  }
  CHECK(available() == before - 2 * kUnit);
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemMap(range, kUnit, 0, handles[0], 0));
  // Mapped is not yet accessible.
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemsetD8(range, 1, 16));
  REQUIRE_OK(open_to_device(range, 2 * kUnit));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, open_to_device(range, 3 * kUnit));
  REQUIRE_OK(cuMemsetD32(range, 7, 2 * kUnit / 4));
  REQUIRE_OK(launch(gpu.function("set"), 1, 1, nullptr, range + kUnit, 9u));
  CHECK(download<unsigned>(range + kUnit - 4, 3) == std::vector<unsigned>{7, 9, 7});
  unsigned long long flags = 0;
  CHECK_RESULT(CUDA_SUCCESS, cuMemGetAccess(&flags, &properties.location, range + kUnit));
  CHECK(flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE);

  // The handles may go first; the mappings hold the memory.
  for (const auto handle : handles) CHECK_RESULT(CUDA_SUCCESS, cuMemRelease(handle));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemRelease(handles[0]));
  CHECK(available() == before - 2 * kUnit);
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemAddressFree(range, 8 * kUnit));
  REQUIRE_OK(cuMemUnmap(range, kUnit));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemsetD8(range, 1, 16));
  CHECK(download<unsigned>(range + kUnit, 1)[0] == 9);
  REQUIRE_OK(cuMemUnmap(range + kUnit, kUnit));
  CHECK(available() == before);
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemUnmap(range, kUnit));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemAddressFree(range, kUnit));
  CHECK_RESULT(CUDA_SUCCESS, cuMemAddressFree(range, 8 * kUnit));
}

TEST_CASE("virtual memory: one memory at two addresses, kept by a descriptor") {
  Gpu gpu(false);
  const auto properties = on_device(true);
  CUmemGenericAllocationHandle handle = 0;
  REQUIRE_OK(cuMemCreate(&handle, kUnit, &properties, 0));
  int file = -1;
  REQUIRE_OK(cuMemExportToShareableHandle(&file, handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
  CUmemGenericAllocationHandle again = 0;
  REQUIRE_OK(cuMemImportFromShareableHandle(&again, reinterpret_cast<void*>(static_cast<std::intptr_t>(file)),
                                            CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
  close(file);
  CUdeviceptr range = 0;
  REQUIRE_OK(cuMemAddressReserve(&range, 2 * kUnit, 0, 0, 0));
  REQUIRE_OK(cuMemMap(range, kUnit, 0, handle, 0));
  REQUIRE_OK(cuMemMap(range + kUnit, kUnit, 0, again, 0));
  REQUIRE_OK(open_to_device(range, 2 * kUnit));
  REQUIRE_OK(cuMemsetD32(range, 5, 4));
  CHECK(download<unsigned>(range + kUnit, 1)[0] == 5);
  CUmemGenericAllocationHandle retained = 0;
  REQUIRE_OK(cuMemRetainAllocationHandle(&retained, reinterpret_cast<void*>(range + 100)));
  CUmemAllocationProp back{};
  REQUIRE_OK(cuMemGetAllocationPropertiesFromHandle(&back, retained));
  CHECK(back.requestedHandleTypes == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE,
               cuMemImportFromShareableHandle(&again, nullptr, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
}

TEST_CASE("virtual memory: what is wrong or not carried is refused") {
  Gpu gpu(false);
  auto properties = on_device();
  CUmemGenericAllocationHandle handle = 0;
  CUdeviceptr range = 0;
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemCreate(&handle, 4096, &properties, 0));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemAddressReserve(&range, 4096, 0, 0, 0));
  CHECK_RESULT(CUDA_ERROR_OUT_OF_MEMORY, cuMemAddressReserve(&range, std::size_t{1} << 46, 0, 0, 0));
  CHECK_RESULT(CUDA_ERROR_OUT_OF_MEMORY, cuMemCreate(&handle, std::size_t{1} << 46, &properties, 0));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemRelease(0x1234));
  properties.location.type = CU_MEM_LOCATION_TYPE_HOST;
  CHECK_RESULT(CUDA_ERROR_NOT_SUPPORTED, cuMemCreate(&handle, kUnit, &properties, 0));
  CHECK_RESULT(CUDA_ERROR_NOT_SUPPORTED, cuMemMapArrayAsync(nullptr, 1, nullptr));
  void* out = nullptr;
  CHECK_RESULT(CUDA_ERROR_NOT_SUPPORTED,
               cuMemGetHandleForAddressRange(&out, range, kUnit, CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD, 0));
}

TEST_CASE("virtual memory: a kernel that touches what is mapped without access faults") {
  Gpu gpu;
  const auto properties = on_device();
  CUmemGenericAllocationHandle handle = 0;
  CUdeviceptr range = 0;
  REQUIRE_OK(cuMemCreate(&handle, kUnit, &properties, 0));
  REQUIRE_OK(cuMemAddressReserve(&range, kUnit, 0, 0, 0));
  REQUIRE_OK(cuMemMap(range, kUnit, 0, handle, 0));
  REQUIRE_OK(launch(gpu.function("set"), 1, 1, nullptr, range, 1u));
  CHECK_RESULT(CUDA_ERROR_ILLEGAL_ADDRESS, cuCtxSynchronize());
}
