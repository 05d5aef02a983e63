// Kernels that go wrong: each in a process of its own, with the error that CUDA defines, which sticks.
#include <sys/wait.h>
#include <unistd.h>

#undef NDEBUG
#include <cassert>

#include "corpus.hpp"

__device__ void spoil(int what, int* p) {
  switch (what) {
    case 0:
      p[1ll << 40] = 1;
      break;  // beyond what is allocated
    case 1:
      *reinterpret_cast<int*>(8) = 1;
      break;  // near null
    case 2:
      *reinterpret_cast<int*>(reinterpret_cast<char*>(p) + 2) = 1;
      break;  // misaligned
    case 3:
      assert(p == nullptr);
      break;
    case 4:
      asm volatile("trap;");
      break;
    case 5:
      p[0] = *(reinterpret_cast<volatile int*>(16));
      break;
    case 6: {
      auto* odd = reinterpret_cast<volatile double*>(reinterpret_cast<char*>(p) + 4);
      *odd = 1.0;
      break;
    }
    case 7:
      atomicAdd(reinterpret_cast<int*>(32), 1);
      break;
  }
}

__global__ void wrong(int what, int* p) {
  if (threadIdx.x == 3) spoil(what, p);
}

struct Fault {
  const char* name;
  cudaError_t error;
};
constexpr Fault kFaults[] = {{"fault_write_beyond", cudaErrorIllegalAddress},
                             {"fault_write_null", cudaErrorIllegalAddress},
                             {"fault_misaligned", cudaErrorMisalignedAddress},
                             {"fault_assert", cudaErrorAssert},
                             {"fault_trap", cudaErrorLaunchFailure},
                             {"fault_read_null", cudaErrorIllegalAddress},
                             {"fault_misaligned_double", cudaErrorMisalignedAddress},
                             {"fault_atomic", cudaErrorIllegalAddress}};

void run(int what) {
  int* p = nullptr;
  CHECK(cudaMalloc(&p, 64));
  wrong<<<1, 32>>>(what, p);
  const cudaError_t error = cudaDeviceSynchronize();
  if (error != kFaults[what].error) fail("%s gave %s", kFaults[what].name, cudaGetErrorName(error));
  // It sticks: nothing works any more in this process.
  void* more = nullptr;
  EXPECT(kFaults[what].error, cudaMalloc(&more, 64));
  EXPECT(kFaults[what].error, cudaDeviceSynchronize());
  corpus::print_exact(kFaults[what].name, std::vector<int>{static_cast<int>(error)});
}

int main() {
  for (int what = 0; what < static_cast<int>(sizeof kFaults / sizeof *kFaults); ++what) {
    std::fflush(stdout);
    const pid_t child = fork();  // before this process has used CUDA
    if (child == 0) {
      run(what);
      std::fflush(stdout);
      std::_Exit(0);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child, "no child");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
      fail("%s: its process ended with %d", kFaults[what].name, status);
  }
  std::printf("faults: ok\n");
}
