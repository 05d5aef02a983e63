// The devices as CUDA shows them to a program, in words.
#include "check.hpp"

int main() {
  int driver = 0, runtime = 0, devices = 0;
  CHECK(cudaDriverGetVersion(&driver));
  CHECK(cudaRuntimeGetVersion(&runtime));
  CHECK(cudaGetDeviceCount(&devices));
  REQUIRE(devices > 0, "no device");
  std::printf("CUDA driver %d.%d, runtime %d.%d\n", driver / 1000, driver % 1000 / 10, runtime / 1000,
              runtime % 1000 / 10);
  for (int device = 0; device < devices; ++device) {
    cudaDeviceProp properties;
    CHECK(cudaGetDeviceProperties(&properties, device));
    CHECK(cudaSetDevice(device));
    size_t free_bytes = 0, total_bytes = 0;
    CHECK(cudaMemGetInfo(&free_bytes, &total_bytes));
    REQUIRE(properties.name[0] != 0 && properties.totalGlobalMem > 0 && free_bytes <= total_bytes,
            "device '%s', %zu of %zu bytes free", properties.name, free_bytes, total_bytes);
    std::printf("device %d: %s, compute capability %d.%d, %d multiprocessors, memory %zu MiB (%zu MiB free)\n", device,
                properties.name, properties.major, properties.minor, properties.multiProcessorCount,
                properties.totalGlobalMem >> 20, free_bytes >> 20);
  }
  std::printf("device_query: ok, %d device%s\n", devices, devices == 1 ? "" : "s");
  return 0;
}
