// Variables of a module: __device__ and __constant__, with and without initializers, read and written from both sides.
#include <cstring>
#include <vector>

#include "check.hpp"

struct Parameters {
  double scale;
  int offset;
  char name[12];
};

__device__ int counter = 41;
__device__ int plain;
__device__ float table[256];
__device__ unsigned char odd_bytes[5] = {1, 2, 3, 4, 5};
__device__ const short series[8] = {1, 1, 2, 3, 5, 8, 13, 21};
__device__ int* indirect = &plain;
__constant__ float coefficients[4] = {0.5f, -1.0f, 2.0f, 0.25f};
__constant__ Parameters parameters;
static __device__ int hidden = 7;

__global__ void use(const float* x, double* y, int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i == 0) {
    counter += 1;
    *indirect = 1234 + hidden;
    odd_bytes[4] = static_cast<unsigned char>(series[7] + parameters.name[0]);
  }
  if (i < count) {
    const float v = x[i];
    const float cubic = coefficients[0] + v * (coefficients[1] + v * (coefficients[2] + v * coefficients[3]));
    y[i] = parameters.scale * cubic + parameters.offset;
    if (i < 256) table[i] = cubic;
  }
}

int main() {
  const int count = 1000;
  Parameters host{};
  host.scale = 2.0;
  host.offset = -3;
  std::strcpy(host.name, "vgpu");
  CHECK(cudaMemcpyToSymbol(parameters, &host, sizeof host));
  Parameters back{};
  CHECK(cudaMemcpyFromSymbol(&back, parameters, sizeof back));
  REQUIRE(std::memcmp(&host, &back, sizeof host) == 0, "a constant changed on its way");

  size_t bytes = 0;
  CHECK(cudaGetSymbolSize(&bytes, table));
  REQUIRE(bytes == sizeof(float) * 256, "the table has %zu bytes", bytes);
  void* address = nullptr;
  CHECK(cudaGetSymbolAddress(&address, counter));
  int value = 0;
  CHECK(cudaMemcpy(&value, address, sizeof value, cudaMemcpyDeviceToHost));
  REQUIRE(value == 41, "the initial value is %d, not 41", value);

  // Small integers: the polynomial is exact in a float, in whatever order it is added.
  std::vector<float> x(count);
  for (int i = 0; i < count; ++i) x[i] = static_cast<float>(i % 64 - 32);
  float* device_x;
  double* device_y;
  CHECK(cudaMalloc(&device_x, count * sizeof(float)));
  CHECK(cudaMalloc(&device_y, count * sizeof(double)));
  CHECK(cudaMemcpy(device_x, x.data(), count * sizeof(float), cudaMemcpyHostToDevice));
  for (int round = 0; round < 3; ++round) {
    float changed[2] = {static_cast<float>(round), 4.0f};
    CHECK(cudaMemcpyToSymbolAsync(coefficients, changed, sizeof changed, sizeof(float), cudaMemcpyHostToDevice, 0));
    CHECK(cudaStreamSynchronize(0));
    use<<<8, 128>>>(device_x, device_y, count);
    CHECK(cudaGetLastError());
    std::vector<double> y(count);
    CHECK(cudaMemcpy(y.data(), device_y, count * sizeof(double), cudaMemcpyDeviceToHost));
    for (int i = 0; i < count; ++i) {
      const float wanted = 0.5f + x[i] * (changed[0] + x[i] * (changed[1] + x[i] * 0.25f));
      REQUIRE(y[i] == 2.0 * wanted - 3, "round %d: y[%d] is %g, not %g", round, i, y[i], 2.0 * wanted - 3);
    }
  }
  CHECK(cudaMemcpyFromSymbol(&value, counter, sizeof value));
  REQUIRE(value == 44, "the counter is %d, not 44", value);
  CHECK(cudaMemcpyFromSymbol(&value, plain, sizeof value));
  REQUIRE(value == 1241, "the variable behind a pointer is %d, not 1241", value);
  unsigned char last = 0;
  CHECK(cudaMemcpyFromSymbol(&last, odd_bytes, 1, 4));
  REQUIRE(last == 21 + 'v', "the last byte is %d", last);
  unsigned char middle = 0;
  CHECK(cudaMemcpyFromSymbol(&middle, odd_bytes, 1, 2));
  REQUIRE(middle == 3, "the middle byte is %d", middle);
  float first = 0;
  CHECK(cudaMemcpyFromSymbol(&first, table, sizeof first, 5 * sizeof(float)));
  const float wanted = 0.5f + x[5] * (2.0f + x[5] * (4.0f + x[5] * 0.25f));
  REQUIRE(first == wanted, "the table holds %g, not %g", first, wanted);
  EXPECT(cudaErrorInvalidValue, cudaMemcpyToSymbol(table, &first, sizeof first, sizeof(float) * 256));
  CHECK(cudaFree(device_x));
  CHECK(cudaFree(device_y));
  std::printf("globals: ok, counter %d\n", 44);
  return 0;
}
