// Every device that there is does its own work in its own memory; a copy goes from each to the next.
#include <vector>

#include "check.hpp"

__global__ void fill(unsigned* values, unsigned count, unsigned device) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) values[i] = device * 1000003u + i;
}

int main() {
  constexpr unsigned kCount = 1u << 20;
  constexpr size_t kBytes = kCount * sizeof(unsigned);
  int devices = 0;
  CHECK(cudaGetDeviceCount(&devices));
  REQUIRE(devices > 0, "no device");
  std::vector<unsigned*> memory(devices);
  for (int device = 0; device < devices; ++device) {
    CHECK(cudaSetDevice(device));
    CHECK(cudaFree(nullptr));
  }
  for (int device = 0; device < devices; ++device) {
    std::vector<size_t> before(devices), after(devices);
    size_t total = 0;
    for (int other = 0; other < devices; ++other) {
      CHECK(cudaSetDevice(other));
      CHECK(cudaMemGetInfo(&before[other], &total));
    }
    CHECK(cudaSetDevice(device));
    CHECK(cudaMalloc(&memory[device], 8 * kBytes));
    for (int other = 0; other < devices; ++other) {
      CHECK(cudaSetDevice(other));
      CHECK(cudaMemGetInfo(&after[other], &total));
    }
    // On a GPU of others too, somebody else may free memory meanwhile: what counts is that the other devices keep
    // theirs.
    for (int other = 0; other < devices; ++other)
      if (other != device && devices > 1)
        REQUIRE(after[other] + 8 * kBytes > before[other], "device %d paid for device %d", other, device);
    cudaPointerAttributes attributes;
    CHECK(cudaPointerGetAttributes(&attributes, memory[device]));
    REQUIRE(attributes.device == device, "memory of device %d is on device %d", device, attributes.device);
  }
  for (int device = 0; device < devices; ++device) {
    CHECK(cudaSetDevice(device));
    fill<<<kCount / 256, 256>>>(memory[device], kCount, static_cast<unsigned>(device));
    CHECK(cudaGetLastError());
  }
  std::vector<unsigned> host(kCount);
  for (int device = 0; device < devices; ++device) {
    CHECK(cudaSetDevice(device));
    CHECK(cudaDeviceSynchronize());
    CHECK(cudaMemcpy(host.data(), memory[device], kBytes, cudaMemcpyDeviceToHost));
    for (unsigned i = 0; i < kCount; ++i)
      REQUIRE(host[i] == static_cast<unsigned>(device) * 1000003u + i, "device %d, word %u", device, i);
  }
  for (int device = 0; device + 1 < devices; ++device) {
    CHECK(cudaMemcpy(memory[device + 1] + kCount, memory[device], kBytes, cudaMemcpyDeviceToDevice));
    CHECK(cudaSetDevice(device + 1));
    CHECK(cudaMemcpy(host.data(), memory[device + 1] + kCount, kBytes, cudaMemcpyDeviceToHost));
    REQUIRE(host[7] == static_cast<unsigned>(device) * 1000003u + 7, "copied from device %d: %u", device, host[7]);
  }
  std::printf("devices: ok, %d device%s\n", devices, devices == 1 ? "" : "s");
  return 0;
}
