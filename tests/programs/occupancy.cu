// What a program asks about the device and its kernels before it launches: properties, attributes, occupancy, limits,
// and the larger shared memory that a kernel must ask for.
#include <cstring>
#include <vector>

#include "check.hpp"

__global__ void __launch_bounds__(256) plain(float* values) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  values[i] = values[i] * 2.0f + 1.0f;
}

/// Writes to the whole of its dynamic shared memory and sums it up.
__global__ void much_shared(int words, unsigned* sum) {
  extern __shared__ unsigned memory[];
  for (int i = threadIdx.x; i < words; i += blockDim.x) memory[i] = i * 3u + 1u;
  __syncthreads();
  unsigned part = 0;
  for (int i = threadIdx.x; i < words; i += blockDim.x) part += memory[words - 1 - i];
  atomicAdd(sum, part);
}

static int attribute(cudaDeviceAttr which) {
  int value = -1;
  CHECK(cudaDeviceGetAttribute(&value, which, 0));
  return value;
}

int main() {
  int devices = 0;
  CHECK(cudaGetDeviceCount(&devices));
  REQUIRE(devices >= 1, "%d devices", devices);
  int driver = 0, runtime = 0;
  CHECK(cudaDriverGetVersion(&driver));
  CHECK(cudaRuntimeGetVersion(&runtime));
  REQUIRE(driver >= 12000 && runtime == CUDART_VERSION, "driver %d, runtime %d", driver, runtime);
  cudaDeviceProp properties;
  CHECK(cudaGetDeviceProperties(&properties, 0));
  REQUIRE(properties.name[0] != 0 && properties.warpSize == 32 && properties.totalGlobalMem > 0,
          "device '%s', warps of %d", properties.name, properties.warpSize);
  REQUIRE(properties.multiProcessorCount == attribute(cudaDevAttrMultiProcessorCount) &&
              properties.maxThreadsPerBlock == attribute(cudaDevAttrMaxThreadsPerBlock) &&
              properties.major == attribute(cudaDevAttrComputeCapabilityMajor) &&
              properties.minor == attribute(cudaDevAttrComputeCapabilityMinor) &&
              static_cast<int>(properties.sharedMemPerBlock) == attribute(cudaDevAttrMaxSharedMemoryPerBlock),
          "properties and attributes differ");
  REQUIRE(properties.maxThreadsPerBlock == 1024 && properties.maxGridSize[0] == 2147483647 &&
              properties.maxThreadsDim[2] == 64 && properties.unifiedAddressing == 1,
          "limits: %d threads, grid %d, z %d", properties.maxThreadsPerBlock, properties.maxGridSize[0],
          properties.maxThreadsDim[2]);
  char bus[32] = "";
  CHECK(cudaDeviceGetPCIBusId(bus, sizeof bus, 0));
  int by_bus = -1;
  CHECK(cudaDeviceGetByPCIBusId(&by_bus, bus));
  REQUIRE(by_bus == 0, "bus id %s is device %d", bus, by_bus);
  EXPECT(cudaErrorInvalidDevice, cudaGetDeviceProperties(&properties, devices));
  CHECK(cudaGetDeviceProperties(&properties, 0));

  size_t free_bytes = 0, total_bytes = 0;
  CHECK(cudaMemGetInfo(&free_bytes, &total_bytes));
  REQUIRE(free_bytes > 0 && free_bytes <= total_bytes, "%zu of %zu bytes are free", free_bytes, total_bytes);

  cudaFuncAttributes attributes;
  CHECK(cudaFuncGetAttributes(&attributes, plain));
  REQUIRE(attributes.maxThreadsPerBlock >= 256 && attributes.maxThreadsPerBlock <= 1024 && attributes.numRegs > 0 &&
              attributes.binaryVersion > 0 && attributes.ptxVersion > 0,
          "kernel: %d threads, %d registers, binary %d, PTX %d", attributes.maxThreadsPerBlock, attributes.numRegs,
          attributes.binaryVersion, attributes.ptxVersion);

  int blocks = 0;
  CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, plain, 256, 0));
  REQUIRE(blocks >= 1 && blocks * 256 <= properties.maxThreadsPerMultiProcessor, "%d blocks of 256 threads", blocks);
  int fewer = 0;
  CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&fewer, much_shared, 256, 40000));
  REQUIRE(fewer >= 1 && static_cast<size_t>(fewer) * 40000 <= properties.sharedMemPerMultiprocessor,
          "%d blocks with 40000 bytes of shared memory", fewer);
  int grid = 0, block = 0;
  CHECK(cudaOccupancyMaxPotentialBlockSize(&grid, &block, plain, 0, 0));
  REQUIRE(grid >= 1 && block >= 32 && block <= 1024 && block % 32 == 0, "best: %d blocks of %d threads", grid, block);

  size_t stack = 0;
  CHECK(cudaDeviceGetLimit(&stack, cudaLimitStackSize));
  REQUIRE(stack > 0, "the stack has %zu bytes", stack);
  CHECK(cudaDeviceSetLimit(cudaLimitStackSize, 4096));
  CHECK(cudaDeviceGetLimit(&stack, cudaLimitStackSize));
  REQUIRE(stack >= 4096, "the stack has %zu bytes after asking for 4096", stack);

  // More than 48 KiB of shared memory: refused until the kernel asks for it.
  const int most = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
  unsigned* sum;
  CHECK(cudaMalloc(&sum, sizeof *sum));
  if (most > 49152) {
    CHECK(cudaMemset(sum, 0, sizeof *sum));
    much_shared<<<1, 128, most>>>(most / 4, sum);
    EXPECT(cudaErrorInvalidValue, cudaGetLastError());
    CHECK(cudaFuncSetAttribute(much_shared, cudaFuncAttributeMaxDynamicSharedMemorySize, most));
    CHECK(cudaFuncGetAttributes(&attributes, much_shared));
    REQUIRE(attributes.maxDynamicSharedSizeBytes == most, "%d bytes of shared memory were granted, not %d",
            attributes.maxDynamicSharedSizeBytes, most);
    much_shared<<<1, 128, most>>>(most / 4, sum);
    CHECK(cudaGetLastError());
    unsigned got = 0, wanted = 0;
    CHECK(cudaMemcpy(&got, sum, sizeof got, cudaMemcpyDeviceToHost));
    for (int i = 0; i < most / 4; ++i) wanted += i * 3u + 1u;
    REQUIRE(got == wanted, "the sum over shared memory is %u, not %u", got, wanted);
  }
  CHECK(cudaFree(sum));
  std::printf("occupancy: ok, %s, %d multiprocessors, %d blocks of 256 each, %d bytes of shared memory\n",
              properties.name, properties.multiProcessorCount, blocks, most);
  return 0;
}
