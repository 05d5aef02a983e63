// C = A B by tiles in shared memory, with sizes that no tile divides. The numbers are chosen so that each product and
// sum is exact in a float: whatever order the GPU adds in, the result must equal the CPU's bit for bit.
#include <vector>

#include "check.hpp"

constexpr int kTile = 16;

__global__ void multiply(const float* a, const float* b, float* c, int rows, int inner, int columns) {
  __shared__ float tile_a[kTile][kTile];
  __shared__ float tile_b[kTile][kTile + 1];
  const int row = blockIdx.y * kTile + threadIdx.y;
  const int column = blockIdx.x * kTile + threadIdx.x;
  float sum = 0.0f;
  for (int start = 0; start < inner; start += kTile) {
    const int a_column = start + threadIdx.x;
    const int b_row = start + threadIdx.y;
    tile_a[threadIdx.y][threadIdx.x] = row < rows && a_column < inner ? a[row * inner + a_column] : 0.0f;
    tile_b[threadIdx.y][threadIdx.x] = b_row < inner && column < columns ? b[b_row * columns + column] : 0.0f;
    __syncthreads();
    for (int k = 0; k < kTile; ++k) sum += tile_a[threadIdx.y][k] * tile_b[k][threadIdx.x];
    __syncthreads();
  }
  if (row < rows && column < columns) c[row * columns + column] = sum;
}

/// The same with a tile whose size is known only at the launch (dynamic shared memory).
__global__ void multiply_dynamic(const float* a, const float* b, float* c, int size, int tile) {
  extern __shared__ float shared[];
  float* tile_a = shared;
  float* tile_b = shared + tile * tile;
  const int row = blockIdx.y * tile + threadIdx.y;
  const int column = blockIdx.x * tile + threadIdx.x;
  float sum = 0.0f;
  for (int start = 0; start < size; start += tile) {
    tile_a[threadIdx.y * tile + threadIdx.x] = a[row * size + start + threadIdx.x];
    tile_b[threadIdx.y * tile + threadIdx.x] = b[(start + threadIdx.y) * size + column];
    __syncthreads();
    for (int k = 0; k < tile; ++k) sum += tile_a[threadIdx.y * tile + k] * tile_b[k * tile + threadIdx.x];
    __syncthreads();
  }
  c[row * size + column] = sum;
}

static std::vector<float> product(const std::vector<float>& a, const std::vector<float>& b, int rows, int inner,
                                  int columns) {
  std::vector<float> c(static_cast<size_t>(rows) * columns, 0.0f);
  for (int i = 0; i < rows; ++i)
    for (int k = 0; k < inner; ++k)
      for (int j = 0; j < columns; ++j) c[i * columns + j] += a[i * inner + k] * b[k * columns + j];
  return c;
}

static std::vector<float> small_integers(size_t count, unsigned seed) {
  Numbers numbers(seed);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(static_cast<int>(numbers.next() % 31) - 15);
  return values;
}

static float* upload(const std::vector<float>& values) {
  float* pointer;
  CHECK(cudaMalloc(&pointer, values.size() * sizeof(float)));
  CHECK(cudaMemcpy(pointer, values.data(), values.size() * sizeof(float), cudaMemcpyHostToDevice));
  return pointer;
}

static void compare(const char* what, const float* device, const std::vector<float>& wanted) {
  std::vector<float> got(wanted.size());
  CHECK(cudaMemcpy(got.data(), device, got.size() * sizeof(float), cudaMemcpyDeviceToHost));
  for (size_t i = 0; i < got.size(); ++i)
    REQUIRE(got[i] == wanted[i], "%s: element %zu is %g, not %g", what, i, got[i], wanted[i]);
}

int main() {
  const int rows = 93, inner = 130, columns = 71;
  const std::vector<float> a = small_integers(static_cast<size_t>(rows) * inner, 2);
  const std::vector<float> b = small_integers(static_cast<size_t>(inner) * columns, 3);
  float* device_a = upload(a);
  float* device_b = upload(b);
  float* device_c;
  CHECK(cudaMalloc(&device_c, static_cast<size_t>(rows) * columns * sizeof(float)));
  const dim3 grid((columns + kTile - 1) / kTile, (rows + kTile - 1) / kTile);
  multiply<<<grid, dim3(kTile, kTile)>>>(device_a, device_b, device_c, rows, inner, columns);
  CHECK(cudaGetLastError());
  compare("static tiles", device_c, product(a, b, rows, inner, columns));

  const int size = 64;
  const std::vector<float> d = small_integers(size * size, 4);
  const std::vector<float> e = small_integers(size * size, 5);
  float* device_d = upload(d);
  float* device_e = upload(e);
  float* device_f;
  CHECK(cudaMalloc(&device_f, size * size * sizeof(float)));
  for (int tile : {4, 8, 16}) {
    CHECK(cudaMemset(device_f, 0xff, size * size * sizeof(float)));
    const size_t shared_bytes = 2 * static_cast<size_t>(tile) * tile * sizeof(float);
    multiply_dynamic<<<dim3(size / tile, size / tile), dim3(tile, tile), shared_bytes>>>(device_d, device_e, device_f,
                                                                                         size, tile);
    CHECK(cudaGetLastError());
    compare("dynamic tiles", device_f, product(d, e, size, size, size));
  }
  for (float* pointer : {device_a, device_b, device_c, device_d, device_e, device_f}) CHECK(cudaFree(pointer));
  std::printf("matrix_tiled: ok, %dx%dx%d and 3 of %dx%dx%d\n", rows, inner, columns, size, size, size);
  return 0;
}
