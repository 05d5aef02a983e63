// Errors that a program may meet and live on: each must be CUDA's own, and none may spoil what comes after it.
// The last line names what an operation answers that few carry (importing another API's memory).
#include <string>

#include "check.hpp"

__global__ void set(int* value, int number) { *value = number; }
__global__ void __launch_bounds__(64) small_blocks(int* value) { *value = 64; }

int main() {
  // A wrong device, before anything else: the program can still use the right one.
  int devices = 0;
  CHECK(cudaGetDeviceCount(&devices));
  EXPECT(cudaErrorInvalidDevice, cudaSetDevice(devices));
  EXPECT(cudaErrorInvalidDevice, cudaSetDevice(-1));
  CHECK(cudaSetDevice(0));

  int* device;
  CHECK(cudaMalloc(&device, 1024));
  void* nothing = &device;
  CHECK(cudaMalloc(&nothing, 0));
  REQUIRE(nothing == nullptr, "an allocation of nothing has an address");
  EXPECT(cudaErrorMemoryAllocation, cudaMalloc(&nothing, size_t{1} << 60));
  CHECK(cudaFree(nullptr));
  int on_stack = 0;
  EXPECT(cudaErrorInvalidValue, cudaFree(&on_stack));
  EXPECT(cudaErrorInvalidValue, cudaFree(device + 1));
  EXPECT(cudaErrorInvalidValue, cudaMemcpy(device, nullptr, 16, cudaMemcpyHostToDevice));
  EXPECT(cudaErrorInvalidMemcpyDirection, cudaMemcpy(device, &on_stack, 4, static_cast<cudaMemcpyKind>(77)));
  EXPECT(cudaErrorInvalidValue, cudaMemset(nullptr, 0, 16));
  EXPECT(cudaErrorInvalidValue, cudaMemcpy2D(device, 4, &on_stack, 4, 8, 1, cudaMemcpyHostToDevice));

  // Launches that no device can run. CUDA names two errors for them, and drivers choose: which one it is must be the
  // same natively and forwarded (the line `same:`).
  std::string names;
  const auto refused = [&](const char* what) {
    const cudaError_t error = cudaGetLastError();
    REQUIRE(error == cudaErrorInvalidConfiguration || error == cudaErrorInvalidValue, "%s gave %s", what,
            cudaGetErrorName(error));
    names += std::string(" ") + cudaGetErrorName(error);
  };
  set<<<1, 2048>>>(device, 1);
  refused("a block of 2048 threads");
  set<<<1, dim3(1, 1, 65)>>>(device, 1);
  refused("a block with z = 65");
  set<<<0, 1>>>(device, 1);
  refused("a grid of no blocks");
  set<<<dim3(1, 70000), 1>>>(device, 1);
  refused("a grid with y = 70000");
  set<<<1, 1, 1 << 20>>>(device, 1);
  refused("a MiB of shared memory");
  // More threads than the kernel was compiled for: CUDA only promises that it fails.
  small_blocks<<<1, 128>>>(device);
  const cudaError_t too_many = cudaGetLastError();
  REQUIRE(too_many != cudaSuccess, "a kernel for 64 threads ran with 128");
  names += std::string(" ") + cudaGetErrorName(too_many);
  // The error was taken, and the next launch is a good one.
  CHECK(cudaGetLastError());
  set<<<1, 1>>>(device, 4711);
  CHECK(cudaGetLastError());
  int value = 0;
  CHECK(cudaMemcpy(&value, device, sizeof value, cudaMemcpyDeviceToHost));
  REQUIRE(value == 4711, "after the errors the kernel wrote %d", value);

  cudaPointerAttributes attributes;
  CHECK(cudaPointerGetAttributes(&attributes, device));
  REQUIRE(attributes.type == cudaMemoryTypeDevice && attributes.device == 0 && attributes.devicePointer == device,
          "a device pointer has type %d", static_cast<int>(attributes.type));
  CHECK(cudaPointerGetAttributes(&attributes, &on_stack));
  REQUIRE(attributes.type == cudaMemoryTypeUnregistered, "a pointer to the stack has type %d",
          static_cast<int>(attributes.type));
  int* pinned;
  CHECK(cudaMallocHost(&pinned, 4096));
  CHECK(cudaPointerGetAttributes(&attributes, pinned));
  REQUIRE(attributes.type == cudaMemoryTypeHost && attributes.hostPointer == pinned, "a pinned pointer has type %d",
          static_cast<int>(attributes.type));
  CHECK(cudaFreeHost(pinned));
  EXPECT(cudaErrorInvalidValue, cudaFreeHost(&on_stack));

  REQUIRE(std::string(cudaGetErrorName(cudaErrorInvalidValue)) == "cudaErrorInvalidValue", "name of an error");
  REQUIRE(std::string(cudaGetErrorString(cudaErrorInvalidValue)) == "invalid argument", "text of an error");
  CHECK(cudaFree(device));
  EXPECT(cudaErrorInvalidValue, cudaFree(device));

  cudaExternalMemory_t memory;
  cudaExternalMemoryHandleDesc description{};
  description.type = cudaExternalMemoryHandleTypeOpaqueFd;
  description.handle.fd = -1;
  description.size = 4096;
  const cudaError_t import = cudaImportExternalMemory(&memory, &description);
  REQUIRE(import != cudaSuccess, "memory was imported from no file");
  (void)cudaGetLastError();
  CHECK(cudaDeviceSynchronize());
  std::printf("same:%s\n", names.c_str());
  std::printf("errors: ok, import of memory gives %s\n", cudaGetErrorName(import));
  return 0;
}
