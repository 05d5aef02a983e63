#include "fixture.hpp"

using softgpu_test::download;
using softgpu_test::Gpu;
using softgpu_test::launch;
using softgpu_test::read_image_file;
using softgpu_test::upload;

namespace {

CUlibrary load() {
  CUlibrary library = nullptr;
  REQUIRE_OK(cuLibraryLoadData(&library, read_image_file("kernels_default.fatbin").data(), nullptr, nullptr, 0, nullptr,
                               nullptr, 0));
  return library;
}

}  // namespace

TEST_CASE("library: needs no context until something is used") {
  REQUIRE_OK(cuInit(0));
  const CUlibrary library = load();
  CUkernel kernel = nullptr;
  CHECK_RESULT(CUDA_SUCCESS, cuLibraryGetKernel(&kernel, library, "add"));
  CHECK_RESULT(CUDA_ERROR_NOT_FOUND, cuLibraryGetKernel(&kernel, library, "nothing"));
  unsigned count = 0;
  CHECK_RESULT(CUDA_SUCCESS, cuLibraryGetKernelCount(&count, library));
  CHECK(count == 12);
  std::vector<CUkernel> kernels(count);
  CHECK_RESULT(CUDA_SUCCESS, cuLibraryEnumerateKernels(kernels.data(), count, library));
  const char* name = nullptr;
  CHECK_RESULT(CUDA_SUCCESS, cuKernelGetName(&name, kernel));
  CHECK(std::string(name) == "add");
  CUfunction function = nullptr;
  CHECK_RESULT(CUDA_ERROR_INVALID_CONTEXT, cuKernelGetFunction(&function, kernel));
  CUdeviceptr address = 0;
  CHECK_RESULT(CUDA_ERROR_INVALID_CONTEXT, cuLibraryGetGlobal(&address, nullptr, library, "counter"));
  CHECK_RESULT(CUDA_SUCCESS, cuLibraryUnload(library));
  CHECK_RESULT(CUDA_ERROR_INVALID_HANDLE, cuLibraryUnload(library));
  CHECK_RESULT(CUDA_ERROR_INVALID_HANDLE, cuKernelGetName(&name, kernel));
}

TEST_CASE("library: kernels and functions launch alike and share settings") {
  Gpu gpu(false);
  const CUlibrary library = load();
  CUkernel kernel = nullptr;
  CUfunction function = nullptr;
  REQUIRE_OK(cuLibraryGetKernel(&kernel, library, "reverse"));
  REQUIRE_OK(cuKernelGetFunction(&function, kernel));
  REQUIRE_OK(cuKernelSetAttribute(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 100000, kernel, 0));
  int value = 0;
  REQUIRE_OK(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, function));
  CHECK(value == 100000);
  REQUIRE_OK(cuKernelGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, kernel, 0));
  CHECK(value == 100000);
  CHECK_RESULT(CUDA_ERROR_INVALID_DEVICE,
               cuKernelGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, kernel, 1));

  CUkernel set = nullptr;
  REQUIRE_OK(cuLibraryGetKernel(&set, library, "set"));
  const auto memory = upload(std::vector<unsigned>{0});
  CHECK_RESULT(CUDA_SUCCESS, launch(reinterpret_cast<CUfunction>(set), 1, 1, nullptr, memory, 4u));
  CHECK(download<unsigned>(memory, 1).front() == 4);
  std::size_t offset = 0;
  CHECK_RESULT(CUDA_SUCCESS, cuKernelGetParamInfo(set, 1, &offset, nullptr));
  CHECK(offset == 8);
  CUlibrary owner = nullptr;
  CHECK_RESULT(CUDA_SUCCESS, cuKernelGetLibrary(&owner, set));
  CHECK(owner == library);
}

TEST_CASE("library: variables are each context's own") {
  Gpu gpu(false);
  const CUlibrary library = load();
  CUdeviceptr first = 0;
  std::size_t bytes = 0;
  REQUIRE_OK(cuLibraryGetGlobal(&first, &bytes, library, "counter"));
  CHECK(bytes == 4);
  const int changed = 1;
  REQUIRE_OK(cuMemcpyHtoD(first, &changed, sizeof changed));
  CUmodule module = nullptr;
  REQUIRE_OK(cuLibraryGetModule(&module, library));
  CHECK_RESULT(CUDA_ERROR_NOT_PERMITTED, cuModuleUnload(module));
  CUfunction function = nullptr;
  CHECK_RESULT(CUDA_SUCCESS, cuModuleGetFunction(&function, module, "add"));
  CHECK_RESULT(CUDA_SUCCESS, cuModuleGetFunction(&function, reinterpret_cast<CUmodule>(library), "add"));

  CUcontext other = nullptr;
  REQUIRE_OK(cuCtxCreate(&other, nullptr, 0, 0));
  CUdeviceptr second = 0;
  REQUIRE_OK(cuLibraryGetGlobal(&second, &bytes, library, "counter"));
  CHECK(second != first);
  CHECK(download<int>(second, 1).front() == 41);
  REQUIRE_OK(cuCtxDestroy(other));
  CHECK(download<int>(first, 1).front() == 1);

  // A reset takes the module away; the library lives on and loads it anew.
  REQUIRE_OK(cuDevicePrimaryCtxReset(0));
  CUcontext context = nullptr;
  REQUIRE_OK(cuDevicePrimaryCtxRetain(&context, 0));
  REQUIRE_OK(cuLibraryGetGlobal(&first, &bytes, library, "counter"));
  CHECK(download<int>(first, 1).front() == 41);
  REQUIRE_OK(cuDevicePrimaryCtxRelease(0));
}

TEST_CASE("library: from a file, and refusals") {
  Gpu gpu(false);
  CUlibrary library = nullptr;
  const std::string path = softgpu_test::image_path("kernels_speed.fatbin");
  CHECK_RESULT(CUDA_SUCCESS, cuLibraryLoadFromFile(&library, path.c_str(), nullptr, nullptr, 0, nullptr, nullptr, 0));
  CHECK_RESULT(CUDA_ERROR_FILE_NOT_FOUND,
               cuLibraryLoadFromFile(&library, "/nothing", nullptr, nullptr, 0, nullptr, nullptr, 0));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE,
               cuLibraryLoadData(&library, nullptr, nullptr, nullptr, 0, nullptr, nullptr, 0));
  CUlibraryOption option = static_cast<CUlibraryOption>(77);
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuLibraryLoadData(&library, "x", nullptr, nullptr, 0, &option, nullptr, 1));
}
