// Whole algorithms on rows and points: stencil, k-means, layer normalization, attention.
#include "corpus.hpp"

using corpus::Buffer;

namespace {
constexpr int kSide = 48, kRows = 24, kColumns = 96, kPoints = 600, kMeans = 5, kTokens = 40, kHead = 16;
}

/// One step of diffusion with a halo in shared memory; integers, so that every bit is defined.
__global__ void diffuse(int* out, const int* in) {
  __shared__ int tile[18][18];
  const int x = static_cast<int>(blockIdx.x * 16 + threadIdx.x), y = static_cast<int>(blockIdx.y * 16 + threadIdx.y);
  for (int row = static_cast<int>(threadIdx.y); row < 18; row += 16)
    for (int column = static_cast<int>(threadIdx.x); column < 18; column += 16) {
      const int from_x = static_cast<int>(blockIdx.x) * 16 + column - 1;
      const int from_y = static_cast<int>(blockIdx.y) * 16 + row - 1;
      const bool inside = from_x >= 0 && from_x < kSide && from_y >= 0 && from_y < kSide;
      tile[row][column] = inside ? in[from_y * kSide + from_x] : 0;
    }
  __syncthreads();
  const int row = static_cast<int>(threadIdx.y) + 1, column = static_cast<int>(threadIdx.x) + 1;
  out[y * kSide + x] = (4 * tile[row][column] + tile[row - 1][column] + tile[row + 1][column] + tile[row][column - 1] +
                        tile[row][column + 1]) /
                       8;
}

static void stencil() {
  std::vector<int> now(kSide * kSide), next(now.size());
  Numbers numbers(3);
  for (int& value : now) value = static_cast<int>(numbers.next() >> 44);
  const Buffer<int> a(now), b(now.size());
  for (int step = 0; step < 10; ++step) {
    diffuse<<<dim3(3, 3), dim3(16, 16)>>>(step % 2 == 0 ? b.get() : a.get(), step % 2 == 0 ? a.get() : b.get());
    const auto at = [&](int x, int y) { return x < 0 || x >= kSide || y < 0 || y >= kSide ? 0 : now[y * kSide + x]; };
    for (int i = 0; i < kSide * kSide; ++i) {
      const int x = i % kSide, y = i / kSide;
      next[i] = (4 * at(x, y) + at(x, y - 1) + at(x, y + 1) + at(x - 1, y) + at(x + 1, y)) / 8;
    }
    now.swap(next);
  }
  corpus::exact("stencil", a.values(), now);
}

/// Nearest mean of each point, then sums by atomics; integers again.
__global__ void assign(int* nearest, int* sums, const int2* points, const int2* means) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= kPoints) return;
  int best = 0, least = 0x7fffffff;
  for (int k = 0; k < kMeans; ++k) {
    const int dx = points[i].x - means[k].x, dy = points[i].y - means[k].y;
    const int distance = dx * dx + dy * dy;
    if (distance < least) least = distance, best = k;
  }
  nearest[i] = best;
  atomicAdd(&sums[best * 3], points[i].x);
  atomicAdd(&sums[best * 3 + 1], points[i].y);
  atomicAdd(&sums[best * 3 + 2], 1);
}
__global__ void move_means(int2* means, int* sums) {
  const int k = static_cast<int>(threadIdx.x);
  if (const int count = sums[k * 3 + 2]; count != 0) means[k] = make_int2(sums[k * 3] / count, sums[k * 3 + 1] / count);
  for (int part = 0; part < 3; ++part) sums[k * 3 + part] = 0;
}

static void k_means() {
  std::vector<int2> points(kPoints);
  Numbers numbers(4);
  for (int2& point : points) {
    const int cluster = static_cast<int>(numbers.next() >> 33) % kMeans;
    point.x = cluster * 500 + static_cast<int>(numbers.next() >> 33) % 300;
    point.y = cluster * cluster * 200 + static_cast<int>(numbers.next() >> 33) % 300;
  }
  std::vector<int2> means(points.begin(), points.begin() + kMeans);
  const Buffer<int2> device_points(points), device_means(means);
  const Buffer<int> nearest(kPoints), sums(kMeans * 3);
  std::vector<int> assigned(kPoints);
  for (int step = 0; step < 8; ++step) {
    assign<<<5, 128>>>(nearest.get(), sums.get(), device_points.get(), device_means.get());
    move_means<<<1, kMeans>>>(device_means.get(), sums.get());
    int total[kMeans][3] = {};
    for (int i = 0; i < kPoints; ++i) {
      const auto distance = [&](int k) {
        const int dx = points[i].x - means[k].x, dy = points[i].y - means[k].y;
        return dx * dx + dy * dy;
      };
      int best = 0;
      for (int k = 1; k < kMeans; ++k)
        if (distance(k) < distance(best)) best = k;
      assigned[i] = best;
      total[best][0] += points[i].x, total[best][1] += points[i].y, ++total[best][2];
    }
    for (int k = 0; k < kMeans; ++k)
      if (total[k][2] != 0) means[k] = make_int2(total[k][0] / total[k][2], total[k][1] / total[k][2]);
  }
  corpus::exact("k_means_nearest", nearest.values(), assigned);
  corpus::exact("k_means", device_means.values(), means);
}

__device__ float sum_of_warp(float value) {
  for (int offset = 16; offset != 0; offset /= 2) value += __shfl_xor_sync(~0u, value, offset);
  return value;
}

/// A warp normalizes a row.
__global__ void normalize(float* out, const float* in, const float* gain, const float* bias) {
  const int row = static_cast<int>(blockIdx.x * blockDim.y + threadIdx.y);
  const float* const from = in + row * kColumns;
  float sum = 0, squares = 0;
  for (int i = static_cast<int>(threadIdx.x); i < kColumns; i += 32) sum += from[i];
  const float mean = sum_of_warp(sum) / kColumns;
  for (int i = static_cast<int>(threadIdx.x); i < kColumns; i += 32) squares += (from[i] - mean) * (from[i] - mean);
  const float scale = rsqrtf(sum_of_warp(squares) / kColumns + 1e-5f);
  for (int i = static_cast<int>(threadIdx.x); i < kColumns; i += 32)
    out[row * kColumns + i] = (from[i] - mean) * scale * gain[i] + bias[i];
}

static std::vector<float> small_floats(std::size_t count, std::uint64_t seed) {
  Numbers numbers(seed);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(static_cast<int>(numbers.next() >> 48) - 32768) / 16384;
  return values;
}

static void layer_normalization() {
  const auto in = small_floats(kRows * kColumns, 5), gain = small_floats(kColumns, 6), bias = small_floats(kColumns, 7);
  const Buffer<float> device_in(in), device_gain(gain), device_bias(bias), out(in.size());
  normalize<<<kRows / 4, dim3(32, 4)>>>(out.get(), device_in.get(), device_gain.get(), device_bias.get());
  std::vector<long double> wanted;
  for (int row = 0; row < kRows; ++row) {
    long double sum = 0, squares = 0;
    for (int i = 0; i < kColumns; ++i) sum += in[row * kColumns + i];
    const long double mean = sum / kColumns;
    for (int i = 0; i < kColumns; ++i) squares += (in[row * kColumns + i] - mean) * (in[row * kColumns + i] - mean);
    for (int i = 0; i < kColumns; ++i)
      wanted.push_back((in[row * kColumns + i] - mean) / std::sqrt(squares / kColumns + 1e-5L) * gain[i] + bias[i]);
  }
  corpus::approximate("layer_normalization", out.values(), wanted, 4, 4e-6);
}

/// Causal attention of one head, a block for each query: scores in shared memory, a stable softmax, a weighted sum.
__global__ void attend(float* out, const float* queries, const float* keys, const float* values) {
  __shared__ float scores[kTokens];
  const int query = static_cast<int>(blockIdx.x), lane = static_cast<int>(threadIdx.x);
  for (int key = lane; key <= query; key += 32) {
    float dot = 0;
    for (int i = 0; i < kHead; ++i) dot += queries[query * kHead + i] * keys[key * kHead + i];
    scores[key] = dot * 0.25f;
  }
  __syncwarp();
  float most = -INFINITY, sum = 0;
  for (int key = lane; key <= query; key += 32) most = fmaxf(most, scores[key]);
  for (int offset = 16; offset != 0; offset /= 2) most = fmaxf(most, __shfl_xor_sync(~0u, most, offset));
  for (int key = lane; key <= query; key += 32) sum += scores[key] = expf(scores[key] - most);
  sum = sum_of_warp(sum);
  __syncwarp();
  if (lane >= kHead) return;
  float total = 0;
  for (int key = 0; key <= query; ++key) total += scores[key] * values[key * kHead + lane];
  out[query * kHead + lane] = total / sum;
}

static void attention() {
  const auto queries = small_floats(kTokens * kHead, 8), keys = small_floats(kTokens * kHead, 9),
             values = small_floats(kTokens * kHead, 10);
  const Buffer<float> q(queries), k(keys), v(values), out(values.size());
  attend<<<kTokens, 32>>>(out.get(), q.get(), k.get(), v.get());
  std::vector<long double> wanted;
  for (int query = 0; query < kTokens; ++query) {
    long double sum = 0, total[kHead] = {};
    for (int key = 0; key <= query; ++key) {
      long double dot = 0;
      for (int i = 0; i < kHead; ++i)
        dot += static_cast<long double>(queries[query * kHead + i]) * keys[key * kHead + i];
      const long double weight = std::exp(dot / 4);
      sum += weight;
      for (int i = 0; i < kHead; ++i) total[i] += weight * values[key * kHead + i];
    }
    for (const long double one : total) wanted.push_back(one / sum);
  }
  corpus::approximate("attention", out.values(), wanted, 4, 4e-6);
}

int main() {
  stencil();
  k_means();
  layer_normalization();
  attention();
  std::printf("rows: ok\n");
}
