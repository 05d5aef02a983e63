// seconds: 180
// link: -lcublas
// about: single precision products in several shapes, legacy handle and with a stream, against the CPU
// C = A B by cuBLAS, in several shapes and in both of its ways (the legacy call and one with a stream), against the
// CPU.
#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#define CHECK(call)                                                                                   \
  do {                                                                                                \
    const cudaError_t error = (call);                                                                 \
    if (error != cudaSuccess) {                                                                       \
      std::printf("FAILED: %s:%d: %s gave %s\n", __FILE__, __LINE__, #call, cudaGetErrorName(error)); \
      return false;                                                                                   \
    }                                                                                                 \
  } while (false)
#define CHECK_BLAS(call)                                                                                  \
  do {                                                                                                    \
    const cublasStatus_t status = (call);                                                                 \
    if (status != CUBLAS_STATUS_SUCCESS) {                                                                \
      std::printf("FAILED: %s:%d: %s gave %s\n", __FILE__, __LINE__, #call, cublasGetStatusName(status)); \
      return false;                                                                                       \
    }                                                                                                     \
  } while (false)

static float number(unsigned& state) {
  state = state * 1664525u + 1013904223u;
  return static_cast<float>(state >> 8) / 8388608.0f - 1.0f;
}

static bool multiply(cublasHandle_t handle, int m, int n, int k, double& worst) {
  unsigned state = static_cast<unsigned>(m * 31 + n * 7 + k);
  std::vector<float> a(static_cast<size_t>(m) * k), b(static_cast<size_t>(k) * n), c(static_cast<size_t>(m) * n);
  for (float& value : a) value = number(state);
  for (float& value : b) value = number(state);
  float *device_a, *device_b, *device_c;
  CHECK(cudaMalloc(&device_a, a.size() * sizeof(float)));
  CHECK(cudaMalloc(&device_b, b.size() * sizeof(float)));
  CHECK(cudaMalloc(&device_c, c.size() * sizeof(float)));
  CHECK(cudaMemcpy(device_a, a.data(), a.size() * sizeof(float), cudaMemcpyHostToDevice));
  CHECK(cudaMemcpy(device_b, b.data(), b.size() * sizeof(float), cudaMemcpyHostToDevice));
  const float one = 1.0f, zero = 0.0f;
  CHECK_BLAS(
      cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, &one, device_a, m, device_b, k, &zero, device_c, m));
  CHECK(cudaMemcpy(c.data(), device_c, c.size() * sizeof(float), cudaMemcpyDeviceToHost));
  CHECK(cudaFree(device_a));
  CHECK(cudaFree(device_b));
  CHECK(cudaFree(device_c));
  // A sample of the elements: all of them would take the CPU longer than the rest of the test.
  for (int i = 0; i < 2000; ++i) {
    const int row = static_cast<int>((i * 7919ll) % m);
    const int column = static_cast<int>((i * 104729ll) % n);
    double sum = 0, size = 0;
    for (int l = 0; l < k; ++l) {
      const double product =
          static_cast<double>(a[static_cast<size_t>(l) * m + row]) * b[static_cast<size_t>(column) * k + l];
      sum += product;
      size += std::fabs(product);
    }
    const double error = std::fabs(c[static_cast<size_t>(column) * m + row] - sum) / (size + 1e-30);
    if (error > worst) worst = error;
    if (error > 1e-5) {
      std::printf("FAILED: %dx%dx%d: element (%d, %d) is %g, not %g\n", m, n, k, row, column,
                  c[static_cast<size_t>(column) * m + row], sum);
      return false;
    }
  }
  return true;
}

static bool run() {
  cublasHandle_t handle;
  CHECK_BLAS(cublasCreate(&handle));
  double worst = 0;
  const int shapes[][3] = {{16, 16, 16}, {127, 65, 33}, {512, 512, 512}, {1024, 768, 2048}, {2048, 2048, 2048}};
  for (const auto& shape : shapes)
    if (!multiply(handle, shape[0], shape[1], shape[2], worst)) return false;
  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  CHECK_BLAS(cublasSetStream(handle, stream));
  if (!multiply(handle, 300, 200, 100, worst)) return false;
  CHECK_BLAS(cublasDestroy(handle));
  CHECK(cudaStreamDestroy(stream));
  std::printf("sgemm: ok, 6 products, worst relative error %.2e\n", worst);
  return true;
}

int main() { return run() ? 0 : 1; }
