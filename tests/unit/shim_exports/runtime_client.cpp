// An ordinary program of NVIDIA's runtime. Exit status 0 when the runtime accepted the driver (its integrity check
// among the rest) and reports a call that is not carried as what it is.
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstring>

namespace {

bool expect(const char* what, cudaError_t got, cudaError_t wanted) {
  if (got == wanted) return true;
  std::printf("%s: %s, not %s\n", what, cudaGetErrorName(got), cudaGetErrorName(wanted));
  return false;
}

}  // namespace

int main() {
  int count = 0;
  void* memory = nullptr;
  cudaDeviceProp properties;
  bool right = expect("cudaGetDeviceCount", cudaGetDeviceCount(&count), cudaSuccess) && count == 1;
  right = right && expect("cudaGetDeviceProperties", cudaGetDeviceProperties(&properties, 0), cudaSuccess) &&
          std::strcmp(properties.name, "stand-in") == 0 && properties.major == 9;
  right = right && expect("cudaMalloc", cudaMalloc(&memory, 64), cudaSuccess) && memory != nullptr;
  right = right &&
          expect("cudaMemcpy", cudaMemcpy(memory, &count, sizeof count, cudaMemcpyHostToDevice), cudaErrorNotSupported);
  return right ? 0 : 1;
}
