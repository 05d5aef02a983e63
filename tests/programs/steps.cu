// Does what its standard input says, one command a line, and answers each with one line, `ok …` or `error NAME`, so
// that a test can hold a session at any point. work: adds two vectors and checks them · alloc BYTES: keeps that much ·
// info: free and total memory, and what the properties say · gpu: the last two digits of its UUID ·
// hold BYTES: pinned · fill TEXT: pinned and device memory full of it · search TEXT: how often it is in fresh memory of
// both kinds · sync · wait poll|synchronize|event|copy: runs a kernel of some 0.2 s, waits for it in this way, and says
// how many microseconds it all took · launch: one kernel, asynchronously · spin: launches without end until standard
// input is closed or an error comes · saturate: the same, and there is always work in flight · hang: waits for a kernel
// that takes hours · unsupported: asks for something that is not carried · quit
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <vector>

#include "check.hpp"

__global__ void add(const int* a, const int* b, int* c, int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) c[i] = a[i] + b[i];
}

__global__ void busy(int* value, int rounds) {
  int x = *value;
  for (int i = 0; i < rounds; ++i) x = x * 1664525 + 1013904223;
  *value = x;
}

static cudaError_t work() {
  const int count = 10000;
  std::vector<int> a(count), b(count), c(count, -1);
  for (int i = 0; i < count; ++i) {
    a[i] = i * 3;
    b[i] = 7 - i;
  }
  int* device[3] = {nullptr, nullptr, nullptr};
  cudaError_t error = cudaSuccess;
  for (int*& pointer : device)
    if (error == cudaSuccess) error = cudaMalloc(&pointer, count * sizeof(int));
  if (error == cudaSuccess) error = cudaMemcpy(device[0], a.data(), count * sizeof(int), cudaMemcpyHostToDevice);
  if (error == cudaSuccess) error = cudaMemcpy(device[1], b.data(), count * sizeof(int), cudaMemcpyHostToDevice);
  if (error == cudaSuccess) {
    add<<<(count + 127) / 128, 128>>>(device[0], device[1], device[2], count);
    error = cudaGetLastError();
  }
  if (error == cudaSuccess) error = cudaMemcpy(c.data(), device[2], count * sizeof(int), cudaMemcpyDeviceToHost);
  for (int* pointer : device) {
    const cudaError_t freed = cudaFree(pointer);
    if (error == cudaSuccess) error = freed;
  }
  if (error != cudaSuccess) return error;
  for (int i = 0; i < count; ++i) REQUIRE(c[i] == 2 * i + 7, "element %d is %d, not %d", i, c[i], 2 * i + 7);
  return cudaSuccess;
}

static bool input_closed() {
  pollfd input{STDIN_FILENO, POLLIN, 0};
  return poll(&input, 1, 0) > 0;
}

static cudaError_t spin(int* value) {
  std::printf("ok spinning\n");
  std::fflush(stdout);
  cudaError_t error = cudaSuccess;
  while (error == cudaSuccess && !input_closed()) {
    for (int i = 0; i < 16 && error == cudaSuccess; ++i) {
      busy<<<4, 64>>>(value, 2000);
      error = cudaGetLastError();
    }
    if (error == cudaSuccess) error = cudaDeviceSynchronize();
  }
  return error;
}

/// So many times 32 kernels are in flight: more than any quantum has time for.
static constexpr unsigned kBatches = 32;

static cudaError_t saturate(int* value) {
  std::printf("ok saturating\n");
  std::fflush(stdout);
  cudaEvent_t done[kBatches] = {};
  cudaError_t error = cudaSuccess;
  for (cudaEvent_t& event : done)
    if (error == cudaSuccess) error = cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
  for (unsigned i = 0; error == cudaSuccess && !input_closed(); ++i) {
    cudaEvent_t& batch = done[i % kBatches];
    error = cudaEventSynchronize(batch);
    for (int k = 0; k < 32 && error == cudaSuccess; ++k) {
      busy<<<4, 64>>>(value, 2000);
      error = cudaGetLastError();
    }
    if (error == cudaSuccess) error = cudaEventRecord(batch);
  }
  return error == cudaSuccess ? cudaDeviceSynchronize() : error;
}

/// Runs a kernel of some 0.2 s and waits for it as `way` says.
static cudaError_t wait_for_kernel(const char* way, long long& microseconds) {
  int* value = nullptr;
  cudaEvent_t done = nullptr;
  cudaError_t error = cudaMalloc(&value, sizeof *value);
  if (error == cudaSuccess) error = cudaMemset(value, 0, sizeof *value);
  if (error == cudaSuccess) error = cudaEventCreate(&done);
  if (error == cudaSuccess) error = cudaDeviceSynchronize();
  const auto start = std::chrono::steady_clock::now();
  if (error == cudaSuccess) {
    busy<<<1, 32>>>(value, 20'000'000);
    error = cudaGetLastError();
  }
  if (error == cudaSuccess) error = cudaEventRecord(done);
  if (error != cudaSuccess) return error;
  if (std::strcmp(way, "poll") == 0) {
    while ((error = cudaStreamQuery(nullptr)) == cudaErrorNotReady) usleep(100);
    (void)cudaGetLastError();
  } else if (std::strcmp(way, "event") == 0) {
    error = cudaEventSynchronize(done);
  } else if (std::strcmp(way, "copy") == 0) {
    int copy = 0;
    error = cudaMemcpy(&copy, value, sizeof copy, cudaMemcpyDeviceToHost);
  } else {
    error = cudaDeviceSynchronize();
  }
  const auto taken = std::chrono::steady_clock::now() - start;
  microseconds = std::chrono::duration_cast<std::chrono::microseconds>(taken).count();
  return error;
}

static constexpr size_t kSearched = 32u << 20;

static cudaError_t fill(const char* text) {
  char *pinned = nullptr, *device = nullptr;
  cudaError_t error = cudaMallocHost(&pinned, kSearched);
  if (error == cudaSuccess) error = cudaMalloc(&device, kSearched);
  if (error != cudaSuccess) return error;
  const size_t length = std::strlen(text);
  for (size_t i = 0; i < kSearched; ++i) pinned[i] = text[i % length];
  return cudaMemcpy(device, pinned, kSearched, cudaMemcpyHostToDevice);
}

static cudaError_t search(const char* text, unsigned long long& found) {
  char *pinned = nullptr, *device = nullptr;
  cudaError_t error = cudaMallocHost(&pinned, kSearched);
  if (error == cudaSuccess) error = cudaMalloc(&device, kSearched);
  const auto count = [&] {
    const size_t length = std::strlen(text);
    const auto next = [&](const char* from) {
      return static_cast<const char*>(memmem(from, static_cast<size_t>(pinned + kSearched - from), text, length));
    };
    for (const char* at = next(pinned); at != nullptr; at = next(at + 1)) ++found;
  };
  if (error == cudaSuccess) count();
  if (error == cudaSuccess) error = cudaMemcpy(pinned, device, kSearched, cudaMemcpyDeviceToHost);
  if (error == cudaSuccess) count();
  return error;
}

int main() {
  char line[256];
  int* value = nullptr;
  while (std::fgets(line, sizeof line, stdin) != nullptr) {
    line[std::strcspn(line, "\n")] = 0;
    const unsigned long long number = std::strchr(line, ' ') ? std::strtoull(std::strchr(line, ' '), nullptr, 10) : 0;
    cudaError_t error = cudaSuccess;
    void* pointer = nullptr;
    if (std::strncmp(line, "work", 4) == 0) {
      error = work();
    } else if (std::strncmp(line, "info", 4) == 0) {
      size_t free = 0, total = 0;
      cudaDeviceProp properties{};
      error = cudaMemGetInfo(&free, &total);
      if (error == cudaSuccess) error = cudaGetDeviceProperties(&properties, 0);
      if (error == cudaSuccess) {
        std::printf("ok %zu %zu %zu\n", free, total, properties.totalGlobalMem);
        std::fflush(stdout);
        continue;
      }
      (void)cudaGetLastError();
    } else if (std::strncmp(line, "gpu", 3) == 0) {
      cudaDeviceProp properties{};
      error = cudaGetDeviceProperties(&properties, 0);
      if (error == cudaSuccess) {
        std::printf("ok %02x\n", static_cast<unsigned char>(properties.uuid.bytes[15]));
        std::fflush(stdout);
        continue;
      }
    } else if (std::strncmp(line, "alloc", 5) == 0) {
      error = cudaMalloc(&pointer, number);
      // An allocation that fails is no reason for a later call to fail.
      (void)cudaGetLastError();
    } else if (std::strncmp(line, "hold", 4) == 0) {
      error = cudaMallocHost(&pointer, number);
    } else if (std::strncmp(line, "fill ", 5) == 0) {
      error = fill(line + 5);
    } else if (std::strncmp(line, "search ", 7) == 0) {
      unsigned long long found = 0;
      error = search(line + 7, found);
      if (error == cudaSuccess) {
        std::printf("ok %llu\n", found);
        std::fflush(stdout);
        continue;
      }
    } else if (std::strncmp(line, "wait ", 5) == 0) {
      long long microseconds = 0;
      error = wait_for_kernel(line + 5, microseconds);
      if (error == cudaSuccess) {
        std::printf("ok %lld\n", microseconds);
        std::fflush(stdout);
        continue;
      }
    } else if (std::strncmp(line, "launch", 6) == 0 || std::strncmp(line, "spin", 4) == 0 ||
               std::strncmp(line, "saturate", 8) == 0) {
      if (value == nullptr) error = cudaMalloc(&value, sizeof *value);
      if (error == cudaSuccess) error = cudaMemset(value, 0, sizeof *value);
      if (error == cudaSuccess && line[0] == 'l') {
        busy<<<1, 32>>>(value, 100);
        error = cudaGetLastError();
      } else if (error == cudaSuccess) {
        error = line[1] == 'p' ? spin(value) : saturate(value);
      }
    } else if (std::strncmp(line, "hang", 4) == 0) {
      error = cudaMalloc(&value, sizeof *value);
      for (int i = 0; i < 100 && error == cudaSuccess; ++i) {
        busy<<<1, 32>>>(value, 2000000000);
        error = cudaGetLastError();
      }
      if (error == cudaSuccess) error = cudaDeviceSynchronize();
    } else if (std::strncmp(line, "sync", 4) == 0) {
      error = cudaDeviceSynchronize();
    } else if (std::strncmp(line, "unsupported", 11) == 0) {
      cudaExternalMemory_t memory;
      cudaExternalMemoryHandleDesc description{};
      description.type = cudaExternalMemoryHandleTypeOpaqueFd;
      description.handle.fd = -1;
      description.size = 4096;
      error = cudaImportExternalMemory(&memory, &description);
      (void)cudaGetLastError();
    } else if (std::strncmp(line, "quit", 4) == 0) {
      break;
    } else {
      std::printf("error unknown command\n");
      std::fflush(stdout);
      continue;
    }
    if (error == cudaSuccess)
      std::printf("ok %p\n", pointer);
    else
      std::printf("error %s\n", cudaGetErrorName(error));
    std::fflush(stdout);
  }
  return 0;
}
