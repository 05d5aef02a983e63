#include <cstdlib>

#include "fixture.hpp"
#include "softgpu/softgpu.h"

using softgpu_test::Gpu;
using softgpu_test::launch;

namespace {

std::string logged;
void keep_log(int, const char* text) { logged += std::string(text) + "\n"; }

/// A kernel k around the instructions; %p1, %r0-3 and %rd0-3 are there, and 16 bytes of shared memory.
CUfunction kernel_of(const std::string& instructions) {
  const std::string text = R"(.version 8.0
.target sm_80
.address_size 64
.func deep(.param .b32 n)
{
  .local .align 4 .b8 room[1024];
  .reg .b32 %r<3>;
  ld.param.u32 %r1, [n];
  st.local.u32 [room], %r1;
  add.u32 %r2, %r1, 1;
  { .param .b32 next; st.param.b32 [next], %r2; call deep, (next); }
  ret;
}
.visible .entry k()
{
  .shared .align 16 .b8 few[16];
  .reg .pred %p<2>;
  .reg .b32 %r<4>;
  .reg .b64 %rd<4>;
  )" + instructions + "\n  ret;\n}\n";
  CUmodule module = nullptr;
  CUfunction function = nullptr;
  REQUIRE_OK(cuModuleLoadData(&module, text.c_str()));
  REQUIRE_OK(cuModuleGetFunction(&function, module, "k"));
  return function;
}

/// The error stays, for the ends of contexts too, and is logged with its kernel, line, block and thread.
void check_sticky(CUfunction function, const std::string& error) {
  vgpu_softgpu_set_log(keep_log);
  REQUIRE_OK(launch(function, 1, 32, nullptr));
  CHECK(softgpu_test::error_name(cuCtxSynchronize()) == error);
  CUdeviceptr memory = 0;
  CUcontext context = nullptr;
  CHECK(softgpu_test::error_name(cuMemAlloc(&memory, 16)) == error);
  CHECK_RESULT(CUDA_SUCCESS, cuDevicePrimaryCtxReset(0));
  CHECK(softgpu_test::error_name(cuDevicePrimaryCtxRetain(&context, 0)) == error);
  CHECK(softgpu_test::error_name(cuInit(0)) == error);
  CHECK(logged.find("error=" + error) != std::string::npos);
  CHECK(logged.find("kernel=k") != std::string::npos);
  if (error != "CUDA_ERROR_LAUNCH_TIMEOUT") {
    CHECK(logged.find("line=0") == std::string::npos);
    CHECK(logged.find("block (0,0,0) thread (") != std::string::npos);
  }
}

}  // namespace

TEST_CASE("fault: shared memory has an end") {
  Gpu gpu(false);
  check_sticky(kernel_of("st.shared.u32 [few+65536], 1;"), "CUDA_ERROR_ILLEGAL_ADDRESS");
}

TEST_CASE("fault: the stack has an end") {
  Gpu gpu(false);
  check_sticky(kernel_of("{ .param .b32 n; st.param.b32 [n], 0; call deep, (n); }"), "CUDA_ERROR_ILLEGAL_ADDRESS");
}

TEST_CASE("fault: an address within an element") {
  Gpu gpu(false);
  check_sticky(kernel_of("st.shared.u64 [few+4], 1;"), "CUDA_ERROR_MISALIGNED_ADDRESS");
}

TEST_CASE("fault: a barrier that there is not") {
  Gpu gpu(false);
  check_sticky(kernel_of("mov.u32 %r1, 77; barrier.sync %r1;"), "CUDA_ERROR_ILLEGAL_INSTRUCTION");
}

TEST_CASE("fault: a call of what is no function") {
  Gpu gpu(false);
  check_sticky(kernel_of("mov.u64 %rd1, 12345; P: .callprototype _ (); call %rd1, (), P;"), "CUDA_ERROR_INVALID_PC");
}

TEST_CASE("fault: a launch that takes longer than its limit") {
  setenv("VGPU_SOFTGPU_LAUNCH_TIMEOUT", "1", 1);
  Gpu gpu(false);
  check_sticky(kernel_of("L: bra L;"), "CUDA_ERROR_LAUNCH_TIMEOUT");
}

TEST_CASE("fault: another device of the process hears of it too") {
  setenv("VGPU_SOFTGPU_DEVICES", "2", 1);
  Gpu gpu(false);
  const CUfunction function = kernel_of("trap;");
  CUcontext other = nullptr;
  REQUIRE_OK(cuDevicePrimaryCtxRetain(&other, 1));
  vgpu_softgpu_set_log(keep_log);
  REQUIRE_OK(launch(function, 1, 1, nullptr));
  CHECK_RESULT(CUDA_ERROR_LAUNCH_FAILED, cuCtxSynchronize());
  CHECK_RESULT(CUDA_SUCCESS, cuCtxSetCurrent(other));
  CHECK_RESULT(CUDA_ERROR_LAUNCH_FAILED, cuCtxSynchronize());
}
