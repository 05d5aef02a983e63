#include <dlfcn.h>

#include "fixture.hpp"

namespace {

struct Entry {
  const char* name;
  int version;
  bool per_thread;
  const char* symbol;
};

constexpr Entry kEntries[] = {
#define VGPU_PROC(base, version, per_thread, symbol) {#base, version, per_thread, #symbol},
#include "softgpu/proc_address_table.inc"
#undef VGPU_PROC
};

using GetProcAddress = CUresult (*)(const char*, void**, int, cuuint64_t, CUdriverProcAddressQueryResult*);

}  // namespace

TEST_CASE("proc address: the library gives by name what it exports") {
  void* library = dlopen(SOFTGPU_LIBRARY, RTLD_NOW | RTLD_LOCAL);
  REQUIRE(library != nullptr);
  const auto get = reinterpret_cast<GetProcAddress>(dlsym(library, "cuGetProcAddress_v2"));
  REQUIRE(get != nullptr);
  for (const Entry& entry : kEntries) {
    INFO(entry.symbol);
    void* exported = dlsym(library, entry.symbol);
    REQUIRE(exported != nullptr);
    void* found = nullptr;
    CUdriverProcAddressQueryResult status{};
    const auto flags =
        entry.per_thread ? CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM : CU_GET_PROC_ADDRESS_LEGACY_STREAM;
    CHECK_RESULT(CUDA_SUCCESS, get(entry.name, &found, entry.version, flags, &status));
    CHECK(status == CU_GET_PROC_ADDRESS_SUCCESS);
    CHECK(found == exported);
  }
  CHECK(dlsym(library, "vgpu_softgpu_set_log") != nullptr);
  CHECK(dlsym(library, "cuGraphicsMapResources") == nullptr);
}

TEST_CASE("proc address: versions, flags, unknown names") {
  void* found = nullptr;
  CUdriverProcAddressQueryResult status{};
  CHECK_RESULT(CUDA_SUCCESS, cuGetProcAddress("cuMemAlloc", &found, 13000, 0, &status));
  CHECK(found == reinterpret_cast<void*>(&cuMemAlloc));
  CHECK_RESULT(CUDA_SUCCESS, cuGetProcAddress("cuCtxSynchronize", &found, 12080, 0, nullptr));
  CHECK(found == reinterpret_cast<void*>(&cuCtxSynchronize));
  CHECK_RESULT(CUDA_SUCCESS, cuGetProcAddress("cuCtxSynchronize", &found, 13000, 0, nullptr));
  CHECK(found == reinterpret_cast<void*>(&cuCtxSynchronize_v2));
  CHECK_RESULT(CUDA_SUCCESS, cuGetProcAddress("cuLaunchKernelEx", &found, 11000, 0, &status));
  CHECK(found == nullptr);
  CHECK(status == CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT);
  CHECK_RESULT(CUDA_SUCCESS, cuGetProcAddress("cuNothing", &found, 13000, 0, &status));
  CHECK(found == nullptr);
  CHECK(status == CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGetProcAddress("cuInit", &found, 13010, 0, &status));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGetProcAddress(nullptr, &found, 13000, 0, &status));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGetProcAddress("cuInit", nullptr, 13000, 0, &status));
  // A function without a per-thread form is given in its only one.
  CHECK_RESULT(CUDA_SUCCESS,
               cuGetProcAddress("cuInit", &found, 13000, CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM, &status));
  CHECK(found == reinterpret_cast<void*>(&cuInit));
}
