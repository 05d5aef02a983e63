// Every device that there is does its own work in its own memory; a copy goes from each to the next.
#include <vector>

#include "check.hpp"

__global__ void fill(unsigned* values, unsigned count, unsigned device) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) values[i] = device * 1000003u + i;
}

__global__ void copy_words(unsigned* to, const unsigned* from, unsigned count) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) to[i] = from[i];
}

/// A copy that names both devices, and, where they may, a kernel that reads the other's memory itself.
static void read_of_others(int device, int devices, const std::vector<unsigned*>& memory) {
  constexpr unsigned kWords = 4096;
  std::vector<unsigned> host(kWords);
  const auto check = [&](int other, const char* how) {
    CHECK(cudaMemcpy(host.data(), memory[device] + (1u << 20), kWords * 4, cudaMemcpyDeviceToHost));
    for (unsigned i = 0; i < kWords; ++i)
      REQUIRE(host[i] == static_cast<unsigned>(other) * 1000003u + i, "%s from device %d: word %u", how, other, i);
  };
  for (int other = 0; other < devices; ++other) {
    if (other == device) continue;
    CHECK(cudaSetDevice(device));
    CHECK(cudaMemcpyPeer(memory[device] + (1u << 20), device, memory[other], other, kWords * 4));
    check(other, "copied");
    int can = 0;
    CHECK(cudaDeviceCanAccessPeer(&can, device, other));
    if (can == 0) continue;
    int supported = 0;
    CHECK(cudaDeviceGetP2PAttribute(&supported, cudaDevP2PAttrAccessSupported, device, other));
    REQUIRE(supported == 1, "device %d has access to %d and denies it", device, other);
    CHECK(cudaDeviceEnablePeerAccess(other, 0));
    const cudaError_t again = cudaDeviceEnablePeerAccess(other, 0);
    REQUIRE(again == cudaErrorPeerAccessAlreadyEnabled, "enabled twice: %s", cudaGetErrorName(again));
    (void)cudaGetLastError();
    CHECK(cudaMemset(memory[device] + (1u << 20), 0, kWords * 4));
    copy_words<<<kWords / 256, 256>>>(memory[device] + (1u << 20), memory[other], kWords);
    CHECK(cudaDeviceSynchronize());
    check(other, "read");
    CHECK(cudaDeviceDisablePeerAccess(other));
  }
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
  for (int device = 0; device < devices; ++device) read_of_others(device, devices, memory);
  std::printf("devices: ok, %d device%s\n", devices, devices == 1 ? "" : "s");
  return 0;
}
