// A process that used CUDA forks: the child can't use it, and is told so; the parent goes on as if nothing had been.
#include <sys/wait.h>
#include <unistd.h>

#include "check.hpp"

__global__ void add(int* value, int number) { *value += number; }

static int child() {
  void* pointer = nullptr;
  const cudaError_t error = cudaMalloc(&pointer, 4096);
  if (error != cudaErrorInitializationError) {
    std::printf("FAILED: the child's cudaMalloc gave %s\n", cudaGetErrorName(error));
    return 1;
  }
  return 0;
}

int main() {
  int* device;
  CHECK(cudaMalloc(&device, sizeof(int)));
  CHECK(cudaMemset(device, 0, sizeof(int)));
  add<<<1, 1>>>(device, 5);
  CHECK(cudaDeviceSynchronize());
  for (int round = 0; round < 2; ++round) {
    std::fflush(stdout);
    const pid_t pid = fork();
    REQUIRE(pid >= 0, "fork failed");
    if (pid == 0) {
      const int verdict = child();
      std::fflush(stdout);
      _exit(verdict);
    }
    add<<<1, 1>>>(device, 10);
    CHECK(cudaGetLastError());
    int status = 0;
    REQUIRE(waitpid(pid, &status, 0) == pid, "the child is lost");
    REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with status %x", status);
    add<<<1, 1>>>(device, 100);
    CHECK(cudaDeviceSynchronize());
  }
  int value = 0;
  CHECK(cudaMemcpy(&value, device, sizeof value, cudaMemcpyDeviceToHost));
  REQUIRE(value == 225, "the parent reads %d, not 225", value);
  CHECK(cudaFree(device));
  std::printf("fork_child: ok, two children refused, the parent reads %d\n", value);
  return 0;
}
