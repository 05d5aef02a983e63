// link: -lnvrtc -lcuda
// about: NVRTC to PTX and CUBIN, loaded and launched by the driver API: modules, libraries, links, globals, occupancy
#include <cuda.h>
#include <nvrtc.h>

#include "results.h"

static const char* kSource = R"(
__constant__ float factor;
__device__ int counter;
template <typename T> __device__ T curve(T value) { return value * value * factor; }
extern "C" __global__ void scale(const float* in, float* out, int count) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) {
    out[i] = curve(in[i]);
    atomicAdd(&counter, 1);
  }
}
)";

static std::vector<char> compiled(const char* architecture, bool cubin) {
  nvrtcProgram program;
  CHECK(nvrtcCreateProgram(&program, kSource, "scale.cu", 0, nullptr, nullptr));
  const char* options[] = {architecture, "--std=c++17"};
  if (nvrtcCompileProgram(program, 2, options) != NVRTC_SUCCESS) {
    std::size_t size = 0;
    CHECK(nvrtcGetProgramLogSize(program, &size));
    std::string log(size, '\0');
    CHECK(nvrtcGetProgramLog(program, log.data()));
    std::printf("FAILED: %s\n", log.c_str());
    std::exit(1);
  }
  std::size_t size = 0;
  CHECK(cubin ? nvrtcGetCUBINSize(program, &size) : nvrtcGetPTXSize(program, &size));
  std::vector<char> image(size);
  CHECK(cubin ? nvrtcGetCUBIN(program, image.data()) : nvrtcGetPTX(program, image.data()));
  CHECK(nvrtcDestroyProgram(&program));
  return image;
}

static void run(const char* name, CUmodule module, CUfunction function) {
  const int count = 10000;
  const auto source = numbers(count, 17);
  std::vector<double> wanted;
  for (float value : source) wanted.push_back(static_cast<double>(value) * value * 1.5);
  CUdeviceptr in, out, factor, counter;
  std::size_t size = 0;
  CHECK(cuMemAlloc(&in, count * sizeof(float)));
  CHECK(cuMemAlloc(&out, count * sizeof(float)));
  CHECK(cuModuleGetGlobal(&factor, &size, module, "factor"));
  CHECK(cuModuleGetGlobal(&counter, nullptr, module, "counter"));
  const float value = 1.5f;
  CHECK(cuMemcpyHtoD(factor, &value, sizeof value));
  CHECK(cuMemsetD32(counter, 0, 1));
  CHECK(cuMemcpyHtoD(in, source.data(), count * sizeof(float)));
  int limit = count, blocks = 0, threads = 0;
  void* arguments[] = {&in, &out, &limit};
  CUstream stream;
  CHECK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  CHECK(cuStreamSynchronize(nullptr));
  CHECK(cuLaunchKernel(function, (count + 255) / 256, 1, 1, 256, 1, 1, 0, stream, arguments, nullptr));
  CHECK(cuStreamSynchronize(stream));
  std::vector<float> got(count);
  std::vector<int> counted(1);
  CHECK(cuMemcpyDtoH(got.data(), out, count * sizeof(float)));
  CHECK(cuMemcpyDtoH(counted.data(), counter, sizeof(int)));
  check(name, got, wanted, 1e-6);
  check("counter", counted, std::vector<int>{count}, 0);
  give(name, got);
  CHECK(cuOccupancyMaxPotentialBlockSize(&blocks, &threads, function, nullptr, 0, 0));
  int registers = 0;
  CHECK(cuFuncGetAttribute(&registers, CU_FUNC_ATTRIBUTE_NUM_REGS, function));
  give(std::string(name) + "-occupancy", std::vector<int>{blocks, threads, registers});
  CHECK(cuStreamDestroy(stream));
  CHECK(cuMemFree(in));
  CHECK(cuMemFree(out));
}

int main() {
  CHECK(cuInit(0));
  CUdevice device;
  CUcontext context;
  CHECK(cuDeviceGet(&device, 0));
  CHECK(cuDevicePrimaryCtxRetain(&context, device));
  CHECK(cuCtxSetCurrent(context));
  int major = 0, minor = 0;
  CHECK(cuDeviceGetAttribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device));
  CHECK(cuDeviceGetAttribute(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device));
  const std::string number = std::to_string(major) + std::to_string(minor);
  const auto ptx = compiled(("--gpu-architecture=compute_" + number).c_str(), false);
  const auto cubin = compiled(("--gpu-architecture=sm_" + number).c_str(), true);

  CUmodule module;
  CUfunction function;
  char log[4096] = "";
  CUjit_option options[] = {CU_JIT_INFO_LOG_BUFFER, CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES};
  void* values[] = {log, reinterpret_cast<void*>(static_cast<std::uintptr_t>(sizeof log))};
  CHECK(cuModuleLoadDataEx(&module, ptx.data(), 2, options, values));
  CHECK(cuModuleGetFunction(&function, module, "scale"));
  run("ptx", module, function);
  CHECK(cuModuleUnload(module));
  CHECK(cuModuleLoadData(&module, cubin.data()));
  CHECK(cuModuleGetFunction(&function, module, "scale"));
  run("cubin", module, function);
  CHECK(cuModuleUnload(module));

  CUlibrary library;
  CUkernel kernel;
  CHECK(cuLibraryLoadData(&library, ptx.data(), nullptr, nullptr, 0, nullptr, nullptr, 0));
  CHECK(cuLibraryGetKernel(&kernel, library, "scale"));
  CHECK(cuLibraryGetModule(&module, library));
  CHECK(cuKernelGetFunction(&function, kernel));
  run("library", module, function);
  CHECK(cuLibraryUnload(library));

  CUlinkState link;
  void* image = nullptr;
  std::size_t size = 0;
  CHECK(cuLinkCreate(0, nullptr, nullptr, &link));
  CHECK(cuLinkAddData(link, CU_JIT_INPUT_PTX, const_cast<char*>(ptx.data()), ptx.size(), "scale", 0, nullptr, nullptr));
  CHECK(cuLinkComplete(link, &image, &size));
  CHECK(cuModuleLoadData(&module, image));
  CHECK(cuModuleGetFunction(&function, module, "scale"));
  run("linked", module, function);
  CHECK(cuModuleUnload(module));
  CHECK(cuLinkDestroy(link));
  if (cuModuleLoadData(&module, "no image at all") == CUDA_SUCCESS) return 1;
  CHECK(cuDevicePrimaryCtxRelease(device));
}
