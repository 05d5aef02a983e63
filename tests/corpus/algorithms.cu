// Whole algorithms as programs have them, each with its counterpart on the CPU.
#include "corpus.hpp"

using u32 = unsigned;
using u64 = unsigned long long;

__global__ void matmul(const float* a, const float* b, float* c, int n) {
  __shared__ float ta[16][17], tb[16][17];
  const int row = blockIdx.y * 16 + threadIdx.y, column = blockIdx.x * 16 + threadIdx.x;
  float sum = 0;
  for (int k = 0; k < n; k += 16) {
    ta[threadIdx.y][threadIdx.x] = a[row * n + k + threadIdx.x];
    tb[threadIdx.y][threadIdx.x] = b[(k + threadIdx.y) * n + column];
    __syncthreads();
    for (int i = 0; i < 16; ++i) sum += ta[threadIdx.y][i] * tb[i][threadIdx.x];
    __syncthreads();
  }
  c[row * n + column] = sum;
}

__global__ void transpose(const u32* in, u32* out, int width, int height) {
  __shared__ u32 tile[32][33];
  int x = blockIdx.x * 32 + threadIdx.x, y = blockIdx.y * 32 + threadIdx.y;
  for (int k = 0; k < 32; k += 8)
    if (x < width && y + k < height) tile[threadIdx.y + k][threadIdx.x] = in[(y + k) * width + x];
  __syncthreads();
  x = blockIdx.y * 32 + threadIdx.x, y = blockIdx.x * 32 + threadIdx.y;
  for (int k = 0; k < 32; k += 8)
    if (x < height && y + k < width) out[(y + k) * height + x] = tile[threadIdx.x][threadIdx.y + k];
}

__global__ void histogram(const u32* in, u32* out, int n) {
  __shared__ u32 bins[64];
  if (threadIdx.x < 64) bins[threadIdx.x] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    atomicAdd(&bins[in[i] >> 26], 1);
  __syncthreads();
  if (threadIdx.x < 64) atomicAdd(&out[threadIdx.x], bins[threadIdx.x]);
}

__global__ void scan(u32* data) {  // Blelloch, 256 elements
  __shared__ u32 cells[256];
  const u32 i = threadIdx.x;
  cells[2 * i] = data[2 * i], cells[2 * i + 1] = data[2 * i + 1];
  u32 offset = 1;
  for (u32 d = 128; d > 0; d /= 2, offset *= 2) {
    __syncthreads();
    if (i < d) cells[offset * (2 * i + 2) - 1] += cells[offset * (2 * i + 1) - 1];
  }
  if (i == 0) cells[255] = 0;
  for (u32 d = 1; d < 256; d *= 2) {
    offset /= 2;
    __syncthreads();
    if (i < d) {
      const u32 a = offset * (2 * i + 1) - 1, b = offset * (2 * i + 2) - 1, t = cells[a];
      cells[a] = cells[b], cells[b] += t;
    }
  }
  __syncthreads();
  data[2 * i] = cells[2 * i], data[2 * i + 1] = cells[2 * i + 1];
}

__global__ void bitonic(u32* data, u32 n) {
  for (u32 k = 2; k <= n; k *= 2)
    for (u32 j = k / 2; j > 0; j /= 2) {
      for (u32 i = threadIdx.x; i < n; i += blockDim.x) {
        const u32 other = i ^ j;
        if (other > i && (data[i] > data[other]) == ((i & k) == 0)) {
          const u32 t = data[i];
          data[i] = data[other], data[other] = t;
        }
      }
      __syncthreads();
    }
}

__global__ void merge_pass(const u32* in, u32* out, int n, int width) {
  const int start = (blockIdx.x * blockDim.x + threadIdx.x) * 2 * width;
  if (start >= n) return;
  const int middle = min(start + width, n), end = min(start + 2 * width, n);
  int a = start, b = middle;
  for (int k = start; k < end; ++k) out[k] = a < middle && (b >= end || in[a] <= in[b]) ? in[a++] : in[b++];
}

__host__ __device__ u32 mandelbrot_point(int x, int y) {
  // Fixed point, so that every machine gets the same.
  const long long cx = x * 3000 - 500000, cy = y * 2500 - 300000;
  long long a = 0, b = 0;
  u32 i = 0;
  for (; i < 60; ++i) {
    const long long aa = a * a / 250000, bb = b * b / 250000;
    if (aa + bb > 1000000) break;
    b = 2 * a * b / 250000 + cy, a = aa - bb + cx;
  }
  return i;
}
__global__ void mandelbrot(u32* out, int width) {
  const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y;
  if (x < width) out[y * width + x] = mandelbrot_point(x, y);
}

__constant__ u32 sha_k[64];
__host__ __device__ u32 rotate(u32 x, int n) { return (x >> n) | (x << (32 - n)); }
__host__ __device__ void sha256_block(u32* state, const u32* block, const u32* k) {
  u32 w[64];
  for (int i = 0; i < 16; ++i) w[i] = block[i];
  for (int i = 16; i < 64; ++i)
    w[i] = w[i - 16] + (rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ (w[i - 15] >> 3)) + w[i - 7] +
           (rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ (w[i - 2] >> 10));
  u32 s[8];
  for (int i = 0; i < 8; ++i) s[i] = state[i];
  for (int i = 0; i < 64; ++i) {
    const u32 t1 =
        s[7] + (rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
    const u32 t2 =
        (rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
    for (int j = 7; j > 0; --j) s[j] = s[j - 1];
    s[4] += t1, s[0] = t1 + t2;
  }
  for (int i = 0; i < 8; ++i) state[i] += s[i];
}
/// The digest of "abc" for thread 0, of other texts of three letters for the rest.
__global__ void sha256(u32* out) {
  u32 block[16] = {0x61626380u + (threadIdx.x << 8)};
  block[15] = 24;
  u32 state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  sha256_block(state, block, sha_k);
  for (int i = 0; i < 8; ++i) out[threadIdx.x * 8 + i] = state[i];
}

__global__ void life(const unsigned char* in, unsigned char* out, int n) {
  const int x = blockIdx.x * 16 + threadIdx.x, y = blockIdx.y * 16 + threadIdx.y;
  int around = 0;
  for (int dy = -1; dy <= 1; ++dy)
    for (int dx = -1; dx <= 1; ++dx)
      if (dx != 0 || dy != 0) around += in[(y + dy + n) % n * n + (x + dx + n) % n];
  out[y * n + x] = around == 3 || (around == 2 && in[y * n + x]);
}

__global__ void spmv(const int* rows, const int* columns, const int* values, const int* x, int* y, int n) {
  const int row = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x % 32;
  if (row >= n) return;
  int sum = 0;
  for (int i = rows[row] + lane; i < rows[row + 1]; i += 32) sum += values[i] * x[columns[i]];
  for (int by = 16; by > 0; by /= 2) sum += __shfl_down_sync(~0u, sum, by);
  if (lane == 0) y[row] = sum;
}

__global__ void bfs_level(const int* rows, const int* columns, int* distance, int level, int n, int* changed) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n || distance[i] != level) return;
  for (int k = rows[i]; k < rows[i + 1]; ++k)
    if (atomicCAS(&distance[columns[k]], -1, level + 1) == -1) *changed = 1;
}

__global__ void fft(double2* data, int n) {  // radix 2, in shared memory
  extern __shared__ double2 cells[];
  int bits = 31 - __clz(n);
  for (int i = threadIdx.x; i < n; i += blockDim.x) cells[__brev(i) >> (32 - bits)] = data[i];
  for (int half = 1; half < n; half *= 2) {
    __syncthreads();
    for (int k = threadIdx.x; k < n / 2; k += blockDim.x) {
      const int i = k / half * 2 * half + k % half;
      double s, c;
      sincospi(-static_cast<double>(k % half) / half, &s, &c);
      const double2 a = cells[i], b = cells[i + half];
      const double2 t = make_double2(b.x * c - b.y * s, b.x * s + b.y * c);
      cells[i] = make_double2(a.x + t.x, a.y + t.y), cells[i + half] = make_double2(a.x - t.x, a.y - t.y);
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < n; i += blockDim.x) data[i] = cells[i];
}

__global__ void softmax(float* rows, int n) {
  __shared__ float cells[128];
  float* row = rows + blockIdx.x * n;
  float most = -INFINITY;
  for (int i = threadIdx.x; i < n; i += 128) most = fmaxf(most, row[i]);
  cells[threadIdx.x] = most;
  for (int by = 64; by > 0; by /= 2) {
    __syncthreads();
    if (threadIdx.x < by) cells[threadIdx.x] = fmaxf(cells[threadIdx.x], cells[threadIdx.x + by]);
  }
  __syncthreads();
  most = cells[0];
  __syncthreads();
  float sum = 0;
  for (int i = threadIdx.x; i < n; i += 128) sum += row[i] = expf(row[i] - most);
  cells[threadIdx.x] = sum;
  for (int by = 64; by > 0; by /= 2) {
    __syncthreads();
    if (threadIdx.x < by) cells[threadIdx.x] += cells[threadIdx.x + by];
  }
  __syncthreads();
  for (int i = threadIdx.x; i < n; i += 128) row[i] /= cells[0];
}

__global__ void n_body(const float4* bodies, float4* pull, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  __shared__ float4 tile[64];
  float3 sum = make_float3(0, 0, 0);
  for (int base = 0; base < n; base += 64) {
    tile[threadIdx.x] = bodies[base + threadIdx.x];
    __syncthreads();
    for (int k = 0; k < 64; ++k) {
      const float3 d = make_float3(tile[k].x - bodies[i].x, tile[k].y - bodies[i].y, tile[k].z - bodies[i].z);
      const float inverse = rsqrtf(d.x * d.x + d.y * d.y + d.z * d.z + 0.1f);
      const float force = tile[k].w * inverse * inverse * inverse;
      sum.x += d.x * force, sum.y += d.y * force, sum.z += d.z * force;
    }
    __syncthreads();
  }
  pull[i] = make_float4(sum.x, sum.y, sum.z, 0);
}

__global__ void lu_step(double* a, int n, int k) {
  const int row = k + 1 + blockIdx.x * blockDim.x + threadIdx.x;
  if (row >= n) return;
  const double factor = a[row * n + k] / a[k * n + k];
  a[row * n + k] = factor;
  for (int column = k + 1; column < n; ++column)
    a[row * n + column] = __dadd_rn(a[row * n + column], -__dmul_rn(factor, a[k * n + column]));
}

__global__ void find_text(const char* text, int n, const char* wanted, int length, int* found, int* count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i + length > n) return;
  for (int k = 0; k < length; ++k)
    if (text[i + k] != wanted[k]) return;
  atomicAdd(count, 1);
  atomicMin(found, i);
}

__global__ void convolve(const int* in, const int* mask, int* out, int n) {
  const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y;
  if (x >= n) return;
  int sum = 0;
  for (int dy = -2; dy <= 2; ++dy)
    for (int dx = -2; dx <= 2; ++dx) {
      const int sx = min(max(x + dx, 0), n - 1), sy = min(max(y + dy, 0), n - 1);
      sum += in[sy * n + sx] * mask[(dy + 2) * 5 + dx + 2];
    }
  out[y * n + x] = sum;
}

int main() {
  const auto in = corpus::any_bits<u32>(4096);
  const corpus::Buffer<u32> device_in(in);
  Numbers numbers(9);
  {
    constexpr int n = 64;
    std::vector<float> a(n * n), b(n * n), wanted(n * n);
    for (auto* m : {&a, &b})
      for (float& v : *m) v = static_cast<float>(static_cast<int>(numbers.next() & 255) - 128) / 16.0f;  // exact sums
    for (int i = 0; i < n; ++i)
      for (int j = 0; j < n; ++j)
        for (int k = 0; k < n; ++k) wanted[i * n + j] += a[i * n + k] * b[k * n + j];
    corpus::Buffer<float> da(a), db(b), c(n * n);
    matmul<<<dim3(4, 4), dim3(16, 16)>>>(da, db, c, n);
    corpus::exact("matmul", c.values(), wanted);
  }
  {
    constexpr int width = 70, height = 45;
    corpus::Buffer<u32> out(width * height);
    transpose<<<dim3(3, 2), dim3(32, 8)>>>(device_in, out, width, height);
    std::vector<u32> wanted(width * height);
    for (int y = 0; y < height; ++y)
      for (int x = 0; x < width; ++x) wanted[x * height + y] = in[y * width + x];
    corpus::exact("transpose", out.values(), wanted);
  }
  {
    corpus::Buffer<u32> out(64);
    histogram<<<4, 128>>>(device_in, out, 4096);
    std::vector<u32> wanted(64);
    for (u32 v : in) ++wanted[v >> 26];
    corpus::exact("histogram", out.values(), wanted);
  }
  {
    corpus::Buffer<u32> data(std::vector<u32>(in.begin(), in.begin() + 256));
    scan<<<1, 128>>>(data);
    std::vector<u32> wanted(256);
    for (int i = 1; i < 256; ++i) wanted[i] = wanted[i - 1] + in[i - 1];
    corpus::exact("scan", data.values(), wanted);
  }
  {
    std::vector<u32> wanted(in.begin(), in.begin() + 1024);
    corpus::Buffer<u32> data(wanted);
    bitonic<<<1, 256>>>(data, 1024);
    std::sort(wanted.begin(), wanted.end());
    corpus::exact("bitonic_sort", data.values(), wanted);
    corpus::Buffer<u32> a(std::vector<u32>(in.begin(), in.begin() + 1000)), b(1000);
    u32 *from = a, *to = b;
    for (int width = 1; width < 1000; width *= 2, std::swap(from, to)) merge_pass<<<8, 64>>>(from, to, 1000, width);
    wanted.assign(in.begin(), in.begin() + 1000);
    std::sort(wanted.begin(), wanted.end());
    corpus::exact("merge_sort", from == a.get() ? a.values() : b.values(), wanted);
  }
  {
    corpus::Buffer<u32> out(200 * 40);
    mandelbrot<<<dim3(2, 40), 128>>>(out, 200);
    std::vector<u32> wanted(200 * 40);
    for (int i = 0; i < 8000; ++i) wanted[i] = mandelbrot_point(i % 200, i / 200);
    corpus::exact("mandelbrot", out.values(), wanted);
  }
  {
    // The constants are the first bits of the cube roots of the primes.
    u32 k[64];
    for (int i = 0, prime = 2; i < 64; ++prime) {
      bool is = true;
      for (int d = 2; d * d <= prime; ++d) is = is && prime % d != 0;
      if (!is) continue;
      const long double root = std::cbrt(static_cast<long double>(prime));
      k[i++] = static_cast<u32>((root - std::floor(root)) * 4294967296.0L);
    }
    CHECK(cudaMemcpyToSymbol(sha_k, k, sizeof k));
    corpus::Buffer<u32> out(64 * 8);
    sha256<<<1, 64>>>(out);
    std::vector<u32> wanted(64 * 8);
    for (u32 t = 0; t < 64; ++t) {
      u32 block[16] = {0x61626380u + (t << 8)};
      block[15] = 24;
      const u32 start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                            0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
      std::copy(start, start + 8, &wanted[t * 8]);
      sha256_block(&wanted[t * 8], block, k);
    }
    REQUIRE(wanted[0] == 0xba7816bf, "the reference is wrong");
    corpus::exact("sha256", out.values(), wanted);
  }
  {
    constexpr int n = 48;
    std::vector<unsigned char> cells(n * n);
    for (auto& c : cells) c = numbers.next() % 3 == 0;
    corpus::Buffer<unsigned char> a(cells), b(n * n);
    for (int round = 0; round < 8; ++round) {
      life<<<dim3(3, 3), dim3(16, 16)>>>(round % 2 ? b : a, round % 2 ? a : b, n);
      const auto before = cells;
      for (int i = 0; i < n * n; ++i) {
        int around = 0;
        for (int d = 0; d < 9; ++d)
          if (d != 4) around += before[(i / n + d / 3 - 1 + n) % n * n + (i % n + d % 3 - 1 + n) % n];
        cells[i] = around == 3 || (around == 2 && before[i]);
      }
    }
    corpus::exact("game_of_life", a.values(), cells);
  }
  {
    constexpr int n = 100;
    std::vector<int> rows(n + 1), columns, values, x(n), wanted(n), distance(n, -1);
    for (int i = 0; i < n; ++i) {
      x[i] = static_cast<int>(numbers.next() % 100) - 50;
      for (int c = 0; c < n; ++c)
        if (numbers.next() % 30 == 0) columns.push_back(c), values.push_back(static_cast<int>(numbers.next() % 19) - 9);
      rows[i + 1] = static_cast<int>(columns.size());
    }
    for (int i = 0; i < n; ++i)
      for (int k = rows[i]; k < rows[i + 1]; ++k) wanted[i] += values[k] * x[columns[k]];
    corpus::Buffer<int> dr(rows), dc(columns), dv(values), dx(x), y(n), changed(1);
    spmv<<<25, 128>>>(dr, dc, dv, dx, y, n);
    corpus::exact("sparse_matrix_vector", y.values(), wanted);
    distance[0] = 0;
    corpus::Buffer<int> dd(distance);
    std::vector<int> queue{0};
    for (std::size_t at = 0; at < queue.size(); ++at)
      for (int k = rows[queue[at]]; k < rows[queue[at] + 1]; ++k)
        if (distance[columns[k]] < 0) distance[columns[k]] = distance[queue[at]] + 1, queue.push_back(columns[k]);
    for (int level = 0;; ++level) {
      CHECK(cudaMemset(changed, 0, sizeof(int)));
      bfs_level<<<2, 64>>>(dr, dc, dd, level, n, changed);
      if (changed.values()[0] == 0) break;
    }
    corpus::exact("breadth_first_search", dd.values(), distance);
  }
  {
    constexpr int n = 128;
    std::vector<double2> data(n);
    for (auto& d : data)
      d = make_double2(static_cast<double>(numbers.next() % 1000) / 100,
                       static_cast<double>(numbers.next() % 1000) / 100);
    corpus::Buffer<double2> device(data);
    fft<<<1, 64, n * sizeof(double2)>>>(device, n);
    const auto got = device.values();
    std::vector<long double> wanted(2 * n);
    for (int i = 0; i < n; ++i)
      for (int k = 0; k < n; ++k) {
        const long double angle = -2 * 3.14159265358979323846264338327950288L * (i * k % n) / n;
        wanted[2 * i] += data[k].x * std::cos(angle) - data[k].y * std::sin(angle);
        wanted[2 * i + 1] += data[k].x * std::sin(angle) + data[k].y * std::cos(angle);
      }
    corpus::approximate("fft", std::vector<double>(&got[0].x, &got[0].x + 2 * n), wanted, 0, 1e-11);
  }
  {
    constexpr int n = 300;
    std::vector<float> rows(3 * n);
    for (float& v : rows) v = numbers.next_float() * 8;
    corpus::Buffer<float> device(rows);
    softmax<<<3, 128>>>(device, n);
    std::vector<long double> wanted(3 * n);
    for (int r = 0; r < 3; ++r) {
      long double sum = 0;
      for (int i = 0; i < n; ++i) sum += std::exp(static_cast<long double>(rows[r * n + i]));
      for (int i = 0; i < n; ++i) wanted[r * n + i] = std::exp(static_cast<long double>(rows[r * n + i])) / sum;
    }
    corpus::approximate("softmax", device.values(), wanted, 64);
  }
  {
    constexpr int n = 128;
    std::vector<float4> bodies(n);
    for (auto& b : bodies)
      b = make_float4(numbers.next_float(), numbers.next_float(), numbers.next_float(), 1 + numbers.next_float());
    corpus::Buffer<float4> device(bodies), pull(n);
    n_body<<<2, 64>>>(device, pull, n);
    const auto got = pull.values();
    std::vector<long double> wanted(4 * n);
    for (int i = 0; i < n; ++i)
      for (int k = 0; k < n; ++k) {
        const long double dx = static_cast<long double>(bodies[k].x) - bodies[i].x,
                          dy = static_cast<long double>(bodies[k].y) - bodies[i].y,
                          dz = static_cast<long double>(bodies[k].z) - bodies[i].z;
        const long double force = bodies[k].w * std::pow(dx * dx + dy * dy + dz * dz + 0.1f, -1.5L);
        wanted[4 * i] += dx * force, wanted[4 * i + 1] += dy * force, wanted[4 * i + 2] += dz * force;
      }
    corpus::approximate("n_body", std::vector<float>(&got[0].x, &got[0].x + 4 * n), wanted, 0, 1e-3);
  }
  {
    constexpr int n = 40;
    std::vector<double> a(n * n);
    for (int i = 0; i < n * n; ++i) a[i] = numbers.next_float() + (i / n == i % n ? 20 : 0);
    corpus::Buffer<double> device(a);
    for (int k = 0; k < n - 1; ++k) {
      lu_step<<<1, 64>>>(device, n, k);
      for (int row = k + 1; row < n; ++row) {
        const double factor = a[row * n + k] / a[k * n + k];
        a[row * n + k] = factor;
        for (int column = k + 1; column < n; ++column) a[row * n + column] -= factor * a[k * n + column];
      }
    }
    corpus::exact("lu", device.values(), a);
  }
  {
    std::string text;
    for (int i = 0; i < 3000; ++i) text += static_cast<char>('a' + numbers.next() % 3);
    const std::string wanted = "abcab";
    int count = 0;
    for (std::size_t at = text.find(wanted); at != std::string::npos; at = text.find(wanted, at + 1)) ++count;
    corpus::Buffer<char> dt(std::vector<char>(text.begin(), text.end())),
        dw(std::vector<char>(wanted.begin(), wanted.end()));
    corpus::Buffer<int> found(std::vector<int>{INT32_MAX}), counted(1);
    find_text<<<24, 128>>>(dt, 3000, dw, 5, found, counted);
    corpus::exact("string_search", std::vector<int>{found.values()[0], counted.values()[0]},
                  {static_cast<int>(text.find(wanted)), count});
  }
  {
    constexpr int n = 40;
    std::vector<int> image(n * n), mask(25), wanted(n * n);
    for (int& v : image) v = static_cast<int>(numbers.next() % 256);
    for (int& v : mask) v = static_cast<int>(numbers.next() % 9) - 4;
    corpus::Buffer<int> di(image), dm(mask), out(n * n);
    convolve<<<dim3(1, n), 64>>>(di, dm, out, n);
    for (int i = 0; i < n * n; ++i)
      for (int m = 0; m < 25; ++m)
        wanted[i] += image[std::min(std::max(i / n + m / 5 - 2, 0), n - 1) * n +
                           std::min(std::max(i % n + m % 5 - 2, 0), n - 1)] *
                     mask[m];
    corpus::exact("convolution", out.values(), wanted);
  }
  std::printf("algorithms: ok\n");
}
