#include <algorithm>
#include <cstring>
#include <fstream>

#include "fixture.hpp"
#include "softgpu/softgpu.h"

using softgpu_test::download;
using softgpu_test::Gpu;
using softgpu_test::image_path;
using softgpu_test::launch;
using softgpu_test::read_image_file;
using softgpu_test::upload;

namespace {

std::string logged;

void keep_log(int, const char* text) { logged += std::string(text) + "\n"; }

}  // namespace

TEST_CASE("module: functions by name and by number") {
  Gpu gpu;
  CUfunction function = nullptr;
  CHECK_RESULT(CUDA_ERROR_NOT_FOUND, cuModuleGetFunction(&function, gpu.module, "nothing"));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuModuleGetFunction(&function, gpu.module, nullptr));
  CHECK_RESULT(CUDA_ERROR_INVALID_HANDLE, cuModuleGetFunction(&function, nullptr, "add"));
  REQUIRE_OK(cuModuleGetFunction(&function, gpu.module, "add"));
  CUfunction again = nullptr;
  REQUIRE_OK(cuModuleGetFunction(&again, gpu.module, "add"));
  CHECK(again == function);
  const char* name = nullptr;
  CHECK_RESULT(CUDA_SUCCESS, cuFuncGetName(&name, function));
  CHECK(std::string(name) == "add");
  CUmodule module = nullptr;
  CHECK_RESULT(CUDA_SUCCESS, cuFuncGetModule(&module, function));
  CHECK(module == gpu.module);
  unsigned count = 0;
  CHECK_RESULT(CUDA_SUCCESS, cuModuleGetFunctionCount(&count, gpu.module));
  CHECK(count == 12);
  std::vector<CUfunction> all(count);
  CHECK_RESULT(CUDA_SUCCESS, cuModuleEnumerateFunctions(all.data(), count, gpu.module));
  CHECK(std::count(all.begin(), all.end(), function) == 1);
  std::size_t offset = 99;
  std::size_t size = 99;
  CHECK_RESULT(CUDA_SUCCESS, cuFuncGetParamInfo(function, 3, &offset, &size));
  CHECK(offset == 24);
  CHECK(size == 4);
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuFuncGetParamInfo(function, 4, &offset, &size));
  CUfunctionLoadingState state{};
  CHECK_RESULT(CUDA_SUCCESS, cuFuncIsLoaded(&state, function));
  CHECK(state == CU_FUNCTION_LOADING_STATE_LOADED);
  REQUIRE_OK(cuModuleUnload(gpu.module));
  CHECK_RESULT(CUDA_ERROR_INVALID_HANDLE, cuModuleUnload(gpu.module));
  CHECK_RESULT(CUDA_ERROR_INVALID_HANDLE, cuFuncGetName(&name, function));
}

TEST_CASE("module: globals and constants") {
  Gpu gpu;
  CUdeviceptr counter = 0;
  std::size_t bytes = 0;
  REQUIRE_OK(cuModuleGetGlobal(&counter, &bytes, gpu.module, "counter"));
  CHECK(bytes == 4);
  CHECK(download<int>(counter, 1).front() == 41);
  CUdeviceptr weights = 0;
  REQUIRE_OK(cuModuleGetGlobal(&weights, nullptr, gpu.module, "weights"));
  CHECK_RESULT(CUDA_SUCCESS, cuModuleGetGlobal(nullptr, &bytes, gpu.module, "table"));
  CHECK(bytes == 16);
  CHECK_RESULT(CUDA_ERROR_NOT_FOUND, cuModuleGetGlobal(&weights, nullptr, gpu.module, "nothing"));
  const int changed = 100;
  REQUIRE_OK(cuMemcpyHtoD(counter, &changed, sizeof changed));
  const float other_weights[] = {2, 3, 4};
  REQUIRE_OK(cuMemcpyHtoD(weights, other_weights, sizeof other_weights));
  const auto out = upload(std::vector<float>(3));
  REQUIRE_OK(launch(gpu.function("use_globals"), 1, 3, nullptr, out));
  CHECK(download<float>(out, 3) == std::vector<float>{102, 106, 112});
  REQUIRE_OK(cuModuleUnload(gpu.module));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD(counter, &changed, sizeof changed));
}

TEST_CASE("module: attributes of functions") {
  Gpu gpu;
  CUfunction function = gpu.function("with_static_shared");
  const auto get = [&](CUfunction_attribute attribute) {
    int value = -1;
    REQUIRE_OK(cuFuncGetAttribute(&value, attribute, function));
    return value;
  };
  CHECK(get(CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK) == 1024);
  CHECK(get(CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES) == 4096);
  CHECK(get(CU_FUNC_ATTRIBUTE_BINARY_VERSION) == 90);
  CHECK(get(CU_FUNC_ATTRIBUTE_PTX_VERSION) == 90);
  CHECK(get(CU_FUNC_ATTRIBUTE_NUM_REGS) > 0);
  CHECK(get(CU_FUNC_ATTRIBUTE_NUM_REGS) <= 255);
  CHECK(get(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) == 49152 - 4096);
  CHECK_RESULT(CUDA_SUCCESS,
               cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 232448 - 4096));
  CHECK(get(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) == 232448 - 4096);
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE,
               cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 232448));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_NUM_REGS, 10));
  int value = 0;
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuFuncGetAttribute(&value, static_cast<CUfunction_attribute>(99), function));
  CHECK_RESULT(CUDA_ERROR_INVALID_HANDLE, cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_NUM_REGS, nullptr));
  REQUIRE_OK(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, gpu.function("at_most_128")));
  CHECK(value == 128);
}

TEST_CASE("module: every way to load") {
  Gpu gpu(false);
  CUmodule module = nullptr;
  CHECK_RESULT(CUDA_SUCCESS, cuModuleLoad(&module, image_path("kernels.ptx").c_str()));
  CHECK_RESULT(CUDA_SUCCESS, cuModuleLoad(&module, image_path("kernels_size.fatbin").c_str()));
  CHECK_RESULT(CUDA_ERROR_FILE_NOT_FOUND, cuModuleLoad(&module, image_path("nothing.ptx").c_str()));
  CHECK_RESULT(CUDA_SUCCESS, cuModuleLoadFatBinary(&module, read_image_file("kernels_none.fatbin").data()));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuModuleLoadData(&module, nullptr));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuModuleLoadData(nullptr, ""));
  CHECK_RESULT(CUDA_ERROR_INVALID_IMAGE, cuModuleLoadData(&module, "\x01\x02\x03\x04"));
  CUmoduleLoadingMode mode{};
  CHECK_RESULT(CUDA_SUCCESS, cuModuleGetLoadingMode(&mode));
  CHECK(mode == CU_MODULE_EAGER_LOADING);
}

TEST_CASE("module: machine code alone is refused with the way out") {
  Gpu gpu(false);
  vgpu_softgpu_set_log(keep_log);
  CUmodule module = nullptr;
  for (const char* name : {"kernels.cubin", "kernels_code_only.fatbin", "kernels_too_new.fatbin"}) {
    logged.clear();
    CHECK_RESULT(CUDA_ERROR_NO_BINARY_FOR_GPU, cuModuleLoadData(&module, read_image_file(name).data()));
    CHECK(logged.find("compile with PTX") != std::string::npos);
  }
  vgpu_softgpu_set_log(nullptr);
}

TEST_CASE("module: bad PTX says what and where, in the log and in the option's buffer") {
  Gpu gpu(false);
  vgpu_softgpu_set_log(keep_log);
  logged.clear();
  const char* text =
      ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry bad() {\n  not.an.instruction;\n  ret;\n}\n";
  char buffer[200] = "unchanged";
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES, CU_JIT_WALL_TIME};
  void* values[] = {buffer, reinterpret_cast<void*>(sizeof buffer), nullptr};
  CUmodule module = nullptr;
  const CUresult loaded = cuModuleLoadDataEx(&module, text, 3, options, values);
  if (loaded == CUDA_SUCCESS) {
    // A refusal may wait until the kernel is asked for: then the log says why.
    CUfunction function = nullptr;
    CHECK_RESULT(CUDA_ERROR_INVALID_PTX, cuModuleGetFunction(&function, module, "bad"));
  } else {
    CHECK_RESULT(CUDA_ERROR_INVALID_PTX, loaded);
    CHECK(std::string(buffer).find("line=5") != std::string::npos);
    CHECK(reinterpret_cast<std::uintptr_t>(values[1]) == std::strlen(buffer));
  }
  CHECK(logged.find("line=5") != std::string::npos);
  CHECK(logged.find("bad") != std::string::npos);
  CHECK(logged.find("not.an") != std::string::npos);

  CHECK_RESULT(CUDA_ERROR_INVALID_PTX, cuModuleLoadData(&module, "this is no PTX"));
  CHECK_RESULT(CUDA_ERROR_INVALID_PTX, cuModuleLoadData(&module, ".version 9.0\n.target sm_100\n.address_size 64\n"));
  CHECK_RESULT(CUDA_ERROR_UNSUPPORTED_PTX_VERSION,
               cuModuleLoadData(&module, "// comment\n.version 9.9\n.target sm_90\n.address_size 64\n"));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuModuleLoadDataEx(&module, text, 1, nullptr, nullptr));
  options[0] = static_cast<CUjit_option>(1000);
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuModuleLoadDataEx(&module, text, 1, options, values));
  vgpu_softgpu_set_log(nullptr);
}
