#include "fixture.hpp"

using softgpu_test::Gpu;
using softgpu_test::launch;

namespace {

constexpr CUmemLocation on_device() { return {CU_MEM_LOCATION_TYPE_DEVICE, {0}}; }

int attribute(CUmem_range_attribute which, CUdeviceptr pointer, std::size_t bytes) {
  int value = -99;
  REQUIRE_OK(cuMemRangeGetAttribute(&value, sizeof value, which, pointer, bytes));
  return value;
}

}  // namespace

TEST_CASE("managed: the host and kernels touch one memory") {
  Gpu gpu;
  CUdeviceptr memory = 0;
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemAllocManaged(&memory, 4096, 0));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemAllocManaged(&memory, 0, CU_MEM_ATTACH_GLOBAL));
  REQUIRE_OK(cuMemAllocManaged(&memory, 4096, CU_MEM_ATTACH_GLOBAL));
  auto* host = reinterpret_cast<unsigned*>(memory);
  host[0] = 1;
  REQUIRE_OK(launch(gpu.function("set"), 1, 1, nullptr, memory + 4, 7u));
  REQUIRE_OK(cuCtxSynchronize());
  CHECK(host[0] == 1);
  CHECK(host[1] == 7);
  unsigned char managed = 0;
  void* pointer = nullptr;
  REQUIRE_OK(cuPointerGetAttribute(&managed, CU_POINTER_ATTRIBUTE_IS_MANAGED, memory + 8));
  REQUIRE_OK(cuPointerGetAttribute(&pointer, CU_POINTER_ATTRIBUTE_HOST_POINTER, memory));
  CHECK(managed == 1);
  CHECK(pointer == host);
  CHECK_RESULT(CUDA_SUCCESS, cuStreamAttachMemAsync(nullptr, memory, 0, CU_MEM_ATTACH_HOST));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuStreamAttachMemAsync(nullptr, memory, 0, CU_MEM_ATTACH_SINGLE));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuStreamAttachMemAsync(nullptr, memory, 16, CU_MEM_ATTACH_GLOBAL));
  CHECK_RESULT(CUDA_SUCCESS, cuMemFree(memory));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemAdvise(memory, 16, CU_MEM_ADVISE_SET_READ_MOSTLY, on_device()));
}

TEST_CASE("managed: advice and prefetches are kept for each part") {
  Gpu gpu(false);
  CUdeviceptr memory = 0;
  REQUIRE_OK(cuMemAllocManaged(&memory, 8192, CU_MEM_ATTACH_HOST));
  REQUIRE_OK(cuMemAdvise(memory, 4096, CU_MEM_ADVISE_SET_READ_MOSTLY, on_device()));
  CHECK(attribute(CU_MEM_RANGE_ATTRIBUTE_READ_MOSTLY, memory, 4096) == 1);
  CHECK(attribute(CU_MEM_RANGE_ATTRIBUTE_READ_MOSTLY, memory, 8192) == 0);
  REQUIRE_OK(cuMemAdvise(memory, 8192, CU_MEM_ADVISE_SET_PREFERRED_LOCATION, {CU_MEM_LOCATION_TYPE_HOST, {0}}));
  CHECK(attribute(CU_MEM_RANGE_ATTRIBUTE_PREFERRED_LOCATION, memory, 8192) == CU_DEVICE_CPU);
  CHECK(attribute(CU_MEM_RANGE_ATTRIBUTE_LAST_PREFETCH_LOCATION, memory, 8192) == CU_DEVICE_INVALID);
  REQUIRE_OK(cuMemPrefetchAsync(memory, 8192, on_device(), 0, nullptr));
  REQUIRE_OK(cuCtxSynchronize());
  CHECK(attribute(CU_MEM_RANGE_ATTRIBUTE_LAST_PREFETCH_LOCATION, memory, 8192) == 0);
  REQUIRE_OK(cuMemAdvise(memory, 8192, CU_MEM_ADVISE_SET_ACCESSED_BY, on_device()));
  int list[3] = {};
  REQUIRE_OK(cuMemRangeGetAttribute(list, sizeof list, CU_MEM_RANGE_ATTRIBUTE_ACCESSED_BY, memory, 8192));
  CHECK(list[0] == 0);
  CHECK(list[1] == CU_DEVICE_INVALID);
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemPrefetchAsync(memory, 8193, on_device(), 0, nullptr));
  CHECK_RESULT(CUDA_ERROR_INVALID_DEVICE,
               cuMemPrefetchAsync(memory, 8192, {CU_MEM_LOCATION_TYPE_DEVICE, {99}}, 0, nullptr));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE,
               cuMemRangeGetAttribute(list, 3, CU_MEM_RANGE_ATTRIBUTE_READ_MOSTLY, memory, 8192));
}

const char* const kWithVariable =
    ".version 9.0\n.target sm_80\n.address_size 64\n"
    ".global .attribute(.managed) .align 4 .u32 counter = 5;\n.global .align 4 .u32 plain;\n"
    ".visible .entry add() { .reg .b32 %r<2>; .reg .b64 %rd<2>; mov.u64 %rd1, counter; "
    "atom.global.add.u32 %r1, [%rd1], 1; ret; }\n";

TEST_CASE("managed: variables") {
  Gpu gpu(false);
  CUlibrary library = nullptr;
  REQUIRE_OK(cuLibraryLoadData(&library, kWithVariable, nullptr, nullptr, 0, nullptr, nullptr, 0));
  CUdeviceptr address = 0;
  std::size_t bytes = 0;
  REQUIRE_OK(cuLibraryGetManaged(&address, &bytes, library, "counter"));
  CHECK(bytes == 4);
  CHECK(*reinterpret_cast<unsigned*>(address) == 5);
  CHECK_RESULT(CUDA_ERROR_NOT_FOUND, cuLibraryGetManaged(&address, &bytes, library, "plain"));
  CUkernel kernel = nullptr;
  REQUIRE_OK(cuLibraryGetKernel(&kernel, library, "add"));
  REQUIRE_OK(cuLaunchKernel(reinterpret_cast<CUfunction>(kernel), 1, 1, 1, 3, 1, 1, 0, nullptr, nullptr, nullptr));
  REQUIRE_OK(cuCtxSynchronize());
  CHECK(*reinterpret_cast<unsigned*>(address) == 8);
}

TEST_CASE("managed: a variable is found before any context is current, by the address that it keeps") {
  REQUIRE_OK(cuInit(0));
  CUlibrary library = nullptr;
  REQUIRE_OK(cuLibraryLoadData(&library, kWithVariable, nullptr, nullptr, 0, nullptr, nullptr, 0));
  CUdeviceptr early = 0, address = 0;
  REQUIRE_OK(cuLibraryGetManaged(&early, nullptr, library, "counter"));
  *reinterpret_cast<unsigned*>(early) = 20;
  CUcontext context = nullptr;
  REQUIRE_OK(cuDevicePrimaryCtxRetain(&context, 0));
  REQUIRE_OK(cuCtxSetCurrent(context));
  REQUIRE_OK(cuLibraryGetManaged(&address, nullptr, library, "counter"));
  CHECK(address == early);
  CUkernel kernel = nullptr;
  REQUIRE_OK(cuLibraryGetKernel(&kernel, library, "add"));
  REQUIRE_OK(cuLaunchKernel(reinterpret_cast<CUfunction>(kernel), 1, 1, 1, 3, 1, 1, 0, nullptr, nullptr, nullptr));
  REQUIRE_OK(cuCtxSynchronize());
  CHECK(*reinterpret_cast<unsigned*>(early) == 23);
}
