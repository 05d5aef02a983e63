// A kernel that writes where nothing is. The error appears at the next synchronization and stays: nothing works in this
// process any more, as CUDA has it. With the argument `trap` a kernel's own trap ends it instead.
#include <cstring>

#include "check.hpp"

__global__ void write_to(int* where) { *where = 1; }
__global__ void trap() { asm("trap;"); }

int main(int argc, char** argv) {
  const bool by_trap = argc > 1 && std::strcmp(argv[1], "trap") == 0;
  int* device;
  CHECK(cudaMalloc(&device, 4096));
  write_to<<<1, 1>>>(device);
  CHECK(cudaDeviceSynchronize());
  if (by_trap)
    trap<<<1, 1>>>();
  else
    write_to<<<1, 1>>>(reinterpret_cast<int*>(0x10));
  CHECK(cudaGetLastError());
  const cudaError_t wanted = cudaDeviceSynchronize();
  // Drivers differ in what they call a trap.
  REQUIRE(by_trap ? wanted == cudaErrorLaunchFailure || wanted == cudaErrorIllegalInstruction
                  : wanted == cudaErrorIllegalAddress,
          "the kernel ended with %s", cudaGetErrorName(wanted));
  (void)cudaGetLastError();
  void* more = nullptr;
  EXPECT(wanted, cudaMalloc(&more, 4096));
  int value = 0;
  EXPECT(wanted, cudaMemcpy(&value, device, sizeof value, cudaMemcpyDeviceToHost));
  cudaStream_t stream;
  EXPECT(wanted, cudaStreamCreate(&stream));
  write_to<<<1, 1>>>(device);
  EXPECT(wanted, cudaGetLastError());
  EXPECT(wanted, cudaDeviceSynchronize());
  std::printf("illegal_address: ok, %s stays\n", cudaGetErrorName(wanted));
  return 0;
}
