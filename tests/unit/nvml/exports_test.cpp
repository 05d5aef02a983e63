// The names that the built library exports.
#include <dlfcn.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "common/nvml_api.h"

TEST_CASE("nvml: every name of NVML is exported, and what is not carried refuses") {
  void* const library = ::dlopen(VGPU_TEST_LIBRARY, RTLD_NOW | RTLD_LOCAL);
  INFO(::dlerror());
  REQUIRE(library != nullptr);
  std::size_t names = 0;
#define VGPU_NVML_FUNCTION(name) \
  ++names;                       \
  if (::dlsym(library, #name) == nullptr) FAIL_CHECK(#name << " is missing");
#include "shim/nvml/functions.def"
#undef VGPU_NVML_FUNCTION
  CHECK(names > 400);
  // Uninitialized comes before anything else.
  for (const char* name : {"nvmlDeviceGetSerial", "nvmlUnitGetCount", "nvmlDeviceSetPowerManagementLimit"}) {
    const auto refused = reinterpret_cast<nvmlReturn_t (*)()>(::dlsym(library, name));
    CHECK(refused() == NVML_ERROR_UNINITIALIZED);
  }
  const auto table =
      reinterpret_cast<nvmlReturn_t (*)(const void**, const void*)>(::dlsym(library, "nvmlInternalGetExportTable"));
  const void* got = &names;
  CHECK(table(&got, &names) == NVML_ERROR_NOT_FOUND);
  CHECK(got == nullptr);
  CHECK(table(nullptr, &names) == NVML_ERROR_INVALID_ARGUMENT);
}
