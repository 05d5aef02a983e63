#include <cstring>

#include "fixture.hpp"

using softgpu_test::Gpu;

namespace {

const std::string kHeader = ".version 8.0\n.target sm_80\n.address_size 64\n";
const std::string kKernel =
    kHeader +
    ".extern .func (.param .b32 r) twice (.param .b32 x);\n.extern .global .align 4 .u32 offset;\n"
    ".global .align 4 .u32 hidden = 100;\n"
    ".visible .entry run(.param .u64 out) {\n"
    ".reg .b32 %r<5>; .reg .b64 %rd<4>;\nld.param.u64 %rd1, [out];\nmov.u64 %rd2, offset;\n"
    "ld.global.u32 %r1, [%rd2];\n{ .param .b32 a; .param .b32 b; st.param.b32 [a], %r1;\n"
    "call.uni (b), twice, (a); ld.param.b32 %r2, [b]; }\n"
    "mov.u64 %rd3, hidden; ld.global.u32 %r3, [%rd3]; add.u32 %r4, %r2, %r3;\n"
    "st.global.u32 [%rd1], %r4; ret; }\n";
const std::string kFunction = kHeader +
                              ".visible .global .align 4 .u32 offset = 4;\n.global .align 4 .u32 hidden = 3;\n"
                              ".visible .func (.param .b32 r) twice (.param .b32 x) {\n"
                              ".reg .b32 %r<5>; .reg .b64 %rd<2>;\nld.param.b32 %r1, [x];\nshl.b32 %r2, %r1, 1;\n"
                              "mov.u64 %rd1, hidden; ld.global.u32 %r3, [%rd1]; add.u32 %r4, %r2, %r3;\n"
                              "st.param.b32 [r], %r4; ret; }\n";

CUresult add(CUlinkState state, const std::string& text) {
  std::string copy = text;
  return cuLinkAddData(state, CU_JIT_INPUT_PTX, copy.data(), copy.size() + 1, "text", 0, nullptr, nullptr);
}

}  // namespace

TEST_CASE("link: functions and variables across texts, and private ones of one name") {
  Gpu gpu(false);
  CUlinkState state = nullptr;
  REQUIRE_OK(cuLinkCreate(0, nullptr, nullptr, &state));
  REQUIRE_OK(add(state, kKernel));
  REQUIRE_OK(add(state, kFunction));
  void* image = nullptr;
  std::size_t size = 0;
  REQUIRE_OK(cuLinkComplete(state, &image, &size));
  CHECK(size == std::strlen(static_cast<const char*>(image)) + 1);
  REQUIRE_OK(cuModuleLoadData(&gpu.module, image));
  REQUIRE_OK(cuLinkDestroy(state));
  CHECK_RESULT(CUDA_ERROR_INVALID_HANDLE, cuLinkDestroy(state));
  const CUdeviceptr out = softgpu_test::upload(std::vector<unsigned>{0});
  REQUIRE_OK(softgpu_test::launch(gpu.function("run"), 1, 1, nullptr, out));
  CHECK(softgpu_test::download<unsigned>(out, 1)[0] == 2 * 4 + 3 + 100);
}

TEST_CASE("link: what is missing or there twice is named in the error log") {
  Gpu gpu(false);
  const auto link = [](const std::vector<std::string>& texts) {
    char log[256] = {};
    CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void* values[] = {log, reinterpret_cast<void*>(sizeof log)};
    CUlinkState state = nullptr;
    REQUIRE_OK(cuLinkCreate(2, options, values, &state));
    for (const std::string& text : texts) REQUIRE_OK(add(state, text));
    void* image = nullptr;
    CHECK_RESULT(CUDA_ERROR_NO_BINARY_FOR_GPU, cuLinkComplete(state, &image, nullptr));
    REQUIRE_OK(cuLinkDestroy(state));
    return std::string(log);
  };
  CHECK(link({kKernel}).find("undefined reference to 'offset'") != std::string::npos);
  CHECK(link({kKernel, kFunction, kFunction}).find("multiple definition of 'offset'") != std::string::npos);
}

TEST_CASE("link: machine code and what is no PTX is refused") {
  Gpu gpu(false);
  CUlinkState state = nullptr;
  REQUIRE_OK(cuLinkCreate(0, nullptr, nullptr, &state));
  char code[] =
      "\x7f"
      "ELF";
  CHECK_RESULT(CUDA_ERROR_NO_BINARY_FOR_GPU,
               cuLinkAddData(state, CU_JIT_INPUT_CUBIN, code, 4, "code", 0, nullptr, nullptr));
  CHECK_RESULT(CUDA_ERROR_FILE_NOT_FOUND,
               cuLinkAddFile(state, CU_JIT_INPUT_PTX, "/nonexistent/file", 0, nullptr, nullptr));
  void* image = nullptr;
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuLinkComplete(state, &image, nullptr));
}
