// A program of the driver API alone: opens libcuda.so.1 itself, loads PTX from text, launches with kernelParams, with a
// packed buffer (`extra`) and with cuLaunchKernelEx, and meets the driver's own errors.
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "plain_driver.hpp"

static const char kPtx[] = R"(
.version 6.4
.target sm_75
.address_size 64

.visible .global .align 4 .u32 scale = 3;

// y[i] = x[i] * scale + addend + small, with parameters of several sizes
.visible .entry affine(.param .u64 y, .param .u64 x, .param .u8 small, .param .u32 count, .param .u64 addend)
{
  .reg .pred %p<2>;
  .reg .b16 %rs<2>;
  .reg .b32 %r<12>;
  .reg .b64 %rd<12>;
  ld.param.u64 %rd1, [y];
  ld.param.u64 %rd2, [x];
  ld.param.u8 %rs1, [small];
  ld.param.u32 %r1, [count];
  ld.param.u64 %rd3, [addend];
  mov.u32 %r2, %ctaid.x;
  mov.u32 %r3, %ntid.x;
  mov.u32 %r4, %tid.x;
  mad.lo.s32 %r5, %r2, %r3, %r4;
  setp.ge.s32 %p1, %r5, %r1;
  @%p1 bra DONE;
  cvta.to.global.u64 %rd4, %rd1;
  cvta.to.global.u64 %rd5, %rd2;
  mul.wide.s32 %rd6, %r5, 4;
  add.s64 %rd7, %rd5, %rd6;
  ld.global.u32 %r6, [%rd7];
  ld.global.u32 %r7, [scale];
  cvt.u32.u16 %r8, %rs1;
  cvt.u32.u64 %r9, %rd3;
  mad.lo.s32 %r10, %r6, %r7, %r8;
  add.s32 %r11, %r10, %r9;
  add.s64 %rd8, %rd4, %rd6;
  st.global.u32 [%rd8], %r11;
DONE:
  ret;
}

.visible .entry nothing()
{
  ret;
}
)";

int main() {
  void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  REQUIRE(library != nullptr, "%s", dlerror());
  LOAD(cuInit);
  LOAD(cuDriverGetVersion);
  LOAD(cuDeviceGetCount);
  LOAD(cuDeviceGet);
  LOAD(cuDeviceGetName);
  LOAD(cuDeviceTotalMem);
  LOAD(cuDeviceGetAttribute);
  LOAD(cuDevicePrimaryCtxRetain);
  LOAD(cuDevicePrimaryCtxRelease);
  LOAD(cuCtxSetCurrent);
  LOAD(cuCtxGetCurrent);
  LOAD(cuCtxSynchronize);
  LOAD(cuModuleLoadData);
  LOAD(cuModuleLoadDataEx);
  LOAD(cuModuleUnload);
  LOAD(cuModuleGetFunction);
  LOAD(cuModuleGetGlobal);
  LOAD(cuFuncGetAttribute);
  LOAD(cuMemAlloc);
  LOAD(cuMemFree);
  LOAD(cuMemcpyHtoD);
  LOAD(cuMemcpyDtoH);
  LOAD(cuMemsetD32);
  LOAD(cuLaunchKernel);
  LOAD(cuLaunchKernelEx);
  LOAD(cuStreamCreate);
  LOAD(cuStreamSynchronize);
  LOAD(cuStreamDestroy);
  LOAD(cuEventCreate);
  LOAD(cuEventRecord);
  LOAD(cuEventSynchronize);
  LOAD(cuEventElapsedTime);
  LOAD(cuEventDestroy);
  LOAD(cuGetErrorName);
  LOAD(cuGetErrorString);
  LOAD(cuGetProcAddress);

  int count = -1;
  EXPECT(CUDA_ERROR_NOT_INITIALIZED, p_cuDeviceGetCount(&count));
  EXPECT(CUDA_ERROR_INVALID_VALUE, p_cuInit(1));
  CHECK(p_cuInit(0));
  CHECK(p_cuInit(0));
  int version = 0;
  CHECK(p_cuDriverGetVersion(&version));
  REQUIRE(version >= 12000, "the driver's version is %d", version);
  CHECK(p_cuDeviceGetCount(&count));
  REQUIRE(count >= 1, "%d devices", count);
  CUdevice device = -1;
  EXPECT(CUDA_ERROR_INVALID_DEVICE, p_cuDeviceGet(&device, count));
  EXPECT(CUDA_ERROR_INVALID_VALUE, p_cuDeviceGet(nullptr, 0));
  CHECK(p_cuDeviceGet(&device, 0));
  char name[128] = "";
  CHECK(p_cuDeviceGetName(name, sizeof name, device));
  size_t memory = 0;
  CHECK(p_cuDeviceTotalMem(&memory, device));
  int threads = 0;
  CHECK(p_cuDeviceGetAttribute(&threads, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, device));
  REQUIRE(threads == 1024 && memory > 0, "%d threads, %zu bytes", threads, memory);
  CUcontext context = nullptr, current = nullptr;
  CUdeviceptr x = 0, y = 0;
  EXPECT(CUDA_ERROR_INVALID_CONTEXT, p_cuMemAlloc(&x, 1024));
  CHECK(p_cuDevicePrimaryCtxRetain(&context, device));
  CHECK(p_cuCtxSetCurrent(context));
  CHECK(p_cuCtxGetCurrent(&current));
  REQUIRE(current == context, "another context is current");

  CUmodule module = nullptr, bad = nullptr;
  EXPECT(CUDA_ERROR_INVALID_PTX, p_cuModuleLoadData(&bad, ".version 6.4\n.target sm_75\n.address_size 64\nnonsense\n"));
  char log[4096] = "";
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES, CU_JIT_MAX_REGISTERS};
  void* values[] = {log, reinterpret_cast<void*>(sizeof log), reinterpret_cast<void*>(size_t{64})};
  CHECK(p_cuModuleLoadDataEx(&module, kPtx, 3, options, values));
  CHECK(p_cuModuleUnload(module));
  CHECK(p_cuModuleLoadData(&module, kPtx));
  CUfunction affine = nullptr, nothing = nullptr;
  CHECK(p_cuModuleGetFunction(&affine, module, "affine"));
  CHECK(p_cuModuleGetFunction(&nothing, module, "nothing"));
  EXPECT(CUDA_ERROR_NOT_FOUND, p_cuModuleGetFunction(&nothing, module, "missing"));
  CHECK(p_cuModuleGetFunction(&nothing, module, "nothing"));
  int most = 0;
  CHECK(p_cuFuncGetAttribute(&most, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, affine));
  REQUIRE(most >= 128 && most <= 1024, "affine runs %d threads", most);

  const int n = 1000;
  std::vector<int> in(n), out(n);
  for (int i = 0; i < n; ++i) in[i] = i * i;
  CHECK(p_cuMemAlloc(&x, n * sizeof(int)));
  CHECK(p_cuMemAlloc(&y, n * sizeof(int)));
  CHECK(p_cuMemcpyHtoD(x, in.data(), n * sizeof(int)));
  CUdeviceptr scale = 0;
  size_t bytes = 0;
  CHECK(p_cuModuleGetGlobal(&scale, &bytes, module, "scale"));
  REQUIRE(bytes == 4, "scale has %zu bytes", bytes);
  EXPECT(CUDA_ERROR_NOT_FOUND, p_cuModuleGetGlobal(&scale, &bytes, module, "weight"));
  CHECK(p_cuModuleGetGlobal(&scale, nullptr, module, "scale"));
  CUstream stream;
  // A blocking stream: what follows waits for copies and sets on the default stream.
  CHECK(p_cuStreamCreate(&stream, CU_STREAM_DEFAULT));
  CUevent before, after;
  CHECK(p_cuEventCreate(&before, CU_EVENT_DEFAULT));
  CHECK(p_cuEventCreate(&after, CU_EVENT_DEFAULT));
  CHECK(p_cuEventRecord(before, stream));

  unsigned char small = 200;
  int element_count = n;
  unsigned long long addend = 1000000;
  for (int way = 0; way < 3; ++way) {
    const int factor = way + 3;
    CHECK(p_cuMemsetD32(y, 0xffffffffu, n));
    CHECK(p_cuMemcpyHtoD(scale, &factor, sizeof factor));
    void* pointers[] = {&y, &x, &small, &element_count, &addend};
    if (way == 0) {
      CHECK(p_cuLaunchKernel(affine, 8, 1, 1, 128, 1, 1, 0, stream, pointers, nullptr));
    } else if (way == 1) {
      // The layout of the parameters is PTX's: natural alignment, in order.
      struct {
        CUdeviceptr y, x;
        unsigned char small;
        int count;
        unsigned long long addend;
      } packed = {y, x, small, element_count, addend};
      size_t packed_bytes = sizeof packed;
      void* extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, &packed, CU_LAUNCH_PARAM_BUFFER_SIZE, &packed_bytes,
                       CU_LAUNCH_PARAM_END};
      CHECK(p_cuLaunchKernel(affine, 8, 1, 1, 128, 1, 1, 0, stream, nullptr, extra));
    } else {
      CUlaunchConfig config{};
      config.gridDimX = 8;
      config.gridDimY = config.gridDimZ = 1;
      config.blockDimX = 128;
      config.blockDimY = config.blockDimZ = 1;
      config.hStream = stream;
      CHECK(p_cuLaunchKernelEx(&config, affine, pointers, nullptr));
    }
    CHECK(p_cuLaunchKernel(nothing, 1, 1, 1, 1, 1, 1, 0, stream, nullptr, nullptr));
    CHECK(p_cuStreamSynchronize(stream));
    CHECK(p_cuMemcpyDtoH(out.data(), y, n * sizeof(int)));
    for (int i = 0; i < n; ++i) {
      const int wanted = in[i] * factor + small + static_cast<int>(addend);
      REQUIRE(out[i] == wanted, "way %d: element %d is %d, not %d", way, i, out[i], wanted);
    }
  }
  CHECK(p_cuEventRecord(after, stream));
  CHECK(p_cuEventSynchronize(after));
  float milliseconds = -1;
  CHECK(p_cuEventElapsedTime(&milliseconds, before, after));
  REQUIRE(milliseconds >= 0, "%g ms", milliseconds);

  EXPECT(CUDA_ERROR_INVALID_VALUE, p_cuLaunchKernel(nothing, 0, 1, 1, 1, 1, 1, 0, stream, nullptr, nullptr));
  EXPECT(CUDA_ERROR_INVALID_VALUE, p_cuLaunchKernel(nothing, 1, 1, 1, 1025, 1, 1, 0, stream, nullptr, nullptr));
  EXPECT(CUDA_ERROR_INVALID_VALUE, p_cuMemAlloc(&x, 0));
  EXPECT(CUDA_ERROR_INVALID_VALUE, p_cuMemFree(y + 4));
  const char* text = nullptr;
  CHECK(p_cuGetErrorName(CUDA_ERROR_ILLEGAL_ADDRESS, &text));
  REQUIRE(std::strcmp(text, "CUDA_ERROR_ILLEGAL_ADDRESS") == 0, "700 is called %s", text);
  CHECK(p_cuGetErrorString(CUDA_ERROR_OUT_OF_MEMORY, &text));
  REQUIRE(std::strcmp(text, "out of memory") == 0, "2 is '%s'", text);
  EXPECT(CUDA_ERROR_INVALID_VALUE, p_cuGetErrorName(static_cast<CUresult>(123456), &text));
  void* address = nullptr;
  CUdriverProcAddressQueryResult found;
  CHECK(p_cuGetProcAddress("cuMemAlloc", &address, 12000, CU_GET_PROC_ADDRESS_DEFAULT, &found));
  REQUIRE(address != nullptr && found == CU_GET_PROC_ADDRESS_SUCCESS, "cuGetProcAddress does not know cuMemAlloc");
  CUdeviceptr z = 0;
  CHECK(reinterpret_cast<decltype(&cuMemAlloc)>(address)(&z, 64));
  CHECK(p_cuMemFree(z));

  CHECK(p_cuEventDestroy(before));
  CHECK(p_cuEventDestroy(after));
  CHECK(p_cuStreamDestroy(stream));
  CHECK(p_cuMemFree(x));
  CHECK(p_cuMemFree(y));
  CHECK(p_cuModuleUnload(module));
  CHECK(p_cuCtxSynchronize());
  CHECK(p_cuDevicePrimaryCtxRelease(device));
  std::printf("driver_api: ok, %s, driver %d, 3 ways to launch\n", name, version);
  return 0;
}
