#include "device.hpp"

// The image lies in the program: it is carried to machines that have no compiler.
__asm__(
    ".section .rodata\n"
    ".balign 16\n"
    "vgpu_bench_image:\n"
    ".incbin \"" VGPU_BENCH_IMAGE
    "\"\n"
    ".previous\n");
extern "C" const char vgpu_bench_image[];

namespace vgpu::bench {

const void* Device::image() noexcept { return vgpu_bench_image; }

Device::Device(const std::string& library) : driver_(library) {
  const Driver& d = driver_;
  CUdevice device = 0;
  CUcontext context = nullptr;
  d.check(d.cuInit_p(0), "cuInit");
  d.check(d.cuDeviceGet_p(&device, 0), "cuDeviceGet");
  d.check(d.cuDevicePrimaryCtxRetain_p(&context, device), "cuDevicePrimaryCtxRetain");
  d.check(d.cuCtxSetCurrent_p(context), "cuCtxSetCurrent");
  d.check(d.cuModuleLoadData_p(&module_, image()), "cuModuleLoadData");
  empty_ = function("empty");
  d.check(d.cuStreamCreate_p(&stream_, CU_STREAM_NON_BLOCKING), "cuStreamCreate");
  d.check(d.cuEventCreate_p(&event_, CU_EVENT_DISABLE_TIMING), "cuEventCreate");
}

CUfunction Device::function(const char* name) const {
  CUfunction found = nullptr;
  driver_.check(driver_.cuModuleGetFunction_p(&found, module_, name), "cuModuleGetFunction");
  return found;
}

void Device::launch() const {
  driver_.check(driver_.cuLaunchKernel_p(empty_, 1, 1, 1, 1, 1, 1, 0, stream_, nullptr, nullptr), "cuLaunchKernel");
}

void Device::synchronize() const { driver_.check(driver_.cuStreamSynchronize_p(stream_), "cuStreamSynchronize"); }

}  // namespace vgpu::bench
