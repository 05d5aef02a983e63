// Two texts of PTX become one image with cuLink*; its kernel's results go through a CUDA array, row by row and as a
// box; what it prints stands between what the program prints.
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <tuple>
#include <vector>

#include "plain_driver.hpp"

static const char kSquare[] = R"(
.version 6.4
.target sm_75
.address_size 64
.visible .func (.param .b32 result) square(.param .b32 value)
{
  .reg .b32 %r<3>;
  ld.param.u32 %r1, [value];
  mul.lo.s32 %r2, %r1, %r1;
  st.param.u32 [result], %r2;
  ret;
}
)";

static const char kKernel[] = R"(
.version 6.4
.target sm_75
.address_size 64
.extern .func (.param .b32 result) square(.param .b32 value);
.extern .func (.param .b32 count) vprintf(.param .b64 format, .param .b64 arguments);
.global .align 1 .b8 text[10] = {115, 113, 117, 97, 114, 101, 100, 33, 10, 0};
.visible .entry squares(.param .u64 y)
{
  .reg .pred %p<2>;
  .reg .b32 %r<6>;
  .reg .b64 %rd<8>;
  ld.param.u64 %rd1, [y];
  cvta.to.global.u64 %rd2, %rd1;
  mov.u32 %r1, %tid.x;
  {
    .param .b32 value;
    .param .b32 result;
    st.param.b32 [value], %r1;
    call.uni (result), square, (value);
    ld.param.b32 %r2, [result];
  }
  mul.wide.u32 %rd3, %r1, 4;
  add.s64 %rd4, %rd2, %rd3;
  st.global.u32 [%rd4], %r2;
  setp.ne.u32 %p1, %r1, 0;
  @%p1 bra DONE;
  mov.u64 %rd5, text;
  cvta.global.u64 %rd6, %rd5;
  {
    .param .b64 format;
    .param .b64 arguments;
    .param .b32 count;
    st.param.b64 [format], %rd6;
    st.param.b64 [arguments], 0;
    call.uni (count), vprintf, (format, arguments);
    ld.param.b32 %r3, [count];
  }
DONE:
  ret;
}
)";

int main() {
  void* library = dlopen("libcuda.so.1", RTLD_NOW);
  REQUIRE(library != nullptr, "libcuda.so.1: %s", dlerror());
  LOAD(cuInit);
  LOAD(cuDeviceGet);
  LOAD(cuDevicePrimaryCtxRetain);
  LOAD(cuCtxSetCurrent);
  LOAD(cuLinkCreate);
  LOAD(cuLinkAddData);
  LOAD(cuLinkComplete);
  LOAD(cuLinkDestroy);
  LOAD(cuModuleLoadData);
  LOAD(cuModuleGetFunction);
  LOAD(cuLaunchKernel);
  LOAD(cuStreamSynchronize);
  LOAD(cuMemAlloc);
  LOAD(cuMemcpyDtoA);
  LOAD(cuMemcpyAtoH);
  LOAD(cuMemcpy3D);
  LOAD(cuArrayCreate);
  LOAD(cuArray3DCreate);
  LOAD(cuArrayDestroy);

  CUdevice device = 0;
  CUcontext context = nullptr;
  CHECK(p_cuInit(0));
  CHECK(p_cuDeviceGet(&device, 0));
  CHECK(p_cuDevicePrimaryCtxRetain(&context, device));
  CHECK(p_cuCtxSetCurrent(context));

  char log[512] = {};
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void* values[] = {log, reinterpret_cast<void*>(sizeof log)};
  CUlinkState link = nullptr;
  CHECK(p_cuLinkCreate(2, options, values, &link));
  // A function that nobody defines.
  void* image = nullptr;
  size_t image_bytes = 0;
  CHECK(p_cuLinkAddData(link, CU_JIT_INPUT_PTX, const_cast<char*>(kKernel), sizeof kKernel, "kernel.ptx", 0, nullptr,
                        nullptr));
  REQUIRE(p_cuLinkComplete(link, &image, &image_bytes) != CUDA_SUCCESS, "a function that is missing was linked");
  REQUIRE(std::strstr(log, "square") != nullptr, "the log doesn't name what is missing: %s", log);
  CHECK(p_cuLinkDestroy(link));

  CHECK(p_cuLinkCreate(0, nullptr, nullptr, &link));
  for (const auto& [text, bytes, name] :
       {std::tuple{kSquare, sizeof kSquare, "square.ptx"}, std::tuple{kKernel, sizeof kKernel, "kernel.ptx"}})
    CHECK(p_cuLinkAddData(link, CU_JIT_INPUT_PTX, const_cast<char*>(text), bytes, name, 0, nullptr, nullptr));
  CHECK(p_cuLinkComplete(link, &image, &image_bytes));
  REQUIRE(image != nullptr && image_bytes != 0, "an empty image");
  CUmodule module = nullptr;
  CHECK(p_cuModuleLoadData(&module, image));
  CHECK(p_cuLinkDestroy(link));
  EXPECT(CUDA_ERROR_INVALID_HANDLE, p_cuLinkComplete(link, &image, &image_bytes));

  // Standard output goes to a file meanwhile.
  std::FILE* const file = std::tmpfile();
  std::fflush(stdout);
  const int before = dup(STDOUT_FILENO);
  REQUIRE(file != nullptr && before >= 0 && dup2(fileno(file), STDOUT_FILENO) >= 0, "no temporary file");
  CUfunction function = nullptr;
  CUdeviceptr squares = 0;
  CHECK(p_cuModuleGetFunction(&function, module, "squares"));
  CHECK(p_cuMemAlloc(&squares, 64 * 4));
  void* parameters[] = {&squares};
  std::printf("before\n");
  CHECK(p_cuLaunchKernel(function, 1, 1, 1, 64, 1, 1, 0, nullptr, parameters, nullptr));
  CHECK(p_cuStreamSynchronize(nullptr));
  std::printf("after\n");
  std::fflush(stdout);
  dup2(before, STDOUT_FILENO);
  char text[64] = {};
  REQUIRE(pread(fileno(file), text, sizeof text - 1, 0) > 0 && std::strcmp(text, "before\nsquared!\nafter\n") == 0,
          "printed: %s", text);

  CUarray row = nullptr;
  const CUDA_ARRAY_DESCRIPTOR one_row{64, 0, CU_AD_FORMAT_UNSIGNED_INT32, 1};
  CHECK(p_cuArrayCreate(&row, &one_row));
  CHECK(p_cuMemcpyDtoA(row, 0, squares, 64 * 4));
  std::vector<unsigned> back(32);
  CHECK(p_cuMemcpyAtoH(back.data(), row, 32 * 4, 32 * 4));
  for (unsigned i = 0; i < 32; ++i) REQUIRE(back[i] == (32 + i) * (32 + i), "square %u is %u", 32 + i, back[i]);

  CUarray box = nullptr;
  const CUDA_ARRAY3D_DESCRIPTOR of_planes{4, 4, 4, CU_AD_FORMAT_UNSIGNED_INT32, 1, 0};
  CHECK(p_cuArray3DCreate(&box, &of_planes));
  CUDA_MEMCPY3D copy{};
  copy.srcMemoryType = CU_MEMORYTYPE_DEVICE;
  copy.srcDevice = squares;
  copy.srcPitch = 16;
  copy.srcHeight = 4;
  copy.dstMemoryType = CU_MEMORYTYPE_ARRAY;
  copy.dstArray = box;
  copy.WidthInBytes = 16;
  copy.Height = 4;
  copy.Depth = 4;
  CHECK(p_cuMemcpy3D(&copy));
  // The last row of the last two planes, with planes of three rows in the program's memory.
  std::vector<unsigned> rows(2 * 3 * 4, 7);
  copy = {};
  copy.srcMemoryType = CU_MEMORYTYPE_ARRAY;
  copy.srcArray = box;
  copy.srcY = 3;
  copy.srcZ = 2;
  copy.dstMemoryType = CU_MEMORYTYPE_HOST;
  copy.dstHost = rows.data();
  copy.dstPitch = 16;
  copy.dstHeight = 3;
  copy.WidthInBytes = 16;
  copy.Height = 1;
  copy.Depth = 2;
  CHECK(p_cuMemcpy3D(&copy));
  for (unsigned plane = 0; plane < 2; ++plane)
    for (unsigned x = 0; x < 4; ++x) {
      const unsigned i = (2 + plane) * 16 + 12 + x;
      REQUIRE(rows[plane * 12 + x] == i * i, "box: square %u is %u", i, rows[plane * 12 + x]);
    }
  REQUIRE(rows[4] == 7 && rows[16] == 7, "a copy wrote between its rows");
  copy.srcZ = 3;
  EXPECT(CUDA_ERROR_INVALID_VALUE, p_cuMemcpy3D(&copy));
  CHECK(p_cuArrayDestroy(box));
  CHECK(p_cuArrayDestroy(row));
  std::printf("linking: ok, %zu bytes linked\n", image_bytes);
  return 0;
}
