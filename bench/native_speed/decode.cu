// vgpu-bench-decode: the shape of a language model's decode loop in plain CUDA. Weights of half precision, random; for
// each token some 9 kernels a layer, then the token's number is copied to the host, which waits for it. It speaks as
// rows.hpp says. What it computes means nothing, but depends on all of the kernels.
#include <cuda_fp16.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "rows.hpp"

namespace {

#define CHECK(call)                                                                           \
  do {                                                                                        \
    const cudaError_t error_ = (call);                                                        \
    if (error_ != cudaSuccess) {                                                              \
      std::fprintf(stderr, "line %d: %s: %s\n", __LINE__, #call, cudaGetErrorString(error_)); \
      std::exit(1);                                                                           \
    }                                                                                         \
  } while (0)

constexpr int kThreads = 256;
constexpr int kWarp = 32;

struct Shape {
  int layers, hidden, heads, inner, vocabulary, tokens, samples;
  int head() const { return hidden / heads; }
};
// About the size of a model with 1.2 billion parameters: 2.5 GB, which a token reads once.
constexpr Shape kFull{24, 2048, 16, 5632, 32000, 64, 8};
constexpr Shape kQuick{2, 64, 4, 128, 256, 4, 2};

__global__ void fill(__half* out, size_t count, float scale) {
  for (size_t i = blockIdx.x * size_t{blockDim.x} + threadIdx.x; i < count; i += size_t{gridDim.x} * blockDim.x) {
    unsigned x = static_cast<unsigned>(i) * 2654435761u;
    x ^= x >> 15;
    x *= 2246822519u;
    out[i] = __float2half((static_cast<float>(x >> 8) / 8388608.0f - 1.0f) * scale);
  }
}

__device__ float warp_sum(float value) {
  for (int step = kWarp / 2; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
  return value;
}

/// One row of the table to the model's state.
__global__ void embed(const __half* table, const int* token, float* state, int hidden) {
  for (int i = threadIdx.x; i < hidden; i += blockDim.x) state[i] = __half2float(table[size_t(*token) * hidden + i]);
}

__global__ void normalize(const float* in, float* out, int count) {
  __shared__ float sums[kThreads / kWarp];
  float sum = 0;
  for (int i = threadIdx.x; i < count; i += blockDim.x) sum += in[i] * in[i];
  sum = warp_sum(sum);
  if (threadIdx.x % kWarp == 0) sums[threadIdx.x / kWarp] = sum;
  __syncthreads();
  float whole = 0;
  for (int i = 0; i < kThreads / kWarp; ++i) whole += sums[i];
  const float scale = rsqrtf(whole / count + 1e-6f);
  for (int i = threadIdx.x; i < count; i += blockDim.x) out[i] = in[i] * scale;
}

/// out = matrix * in (+ out where `add`): one warp for each row.
__global__ void multiply(const __half2* matrix, const float* in, float* out, int rows, int columns, bool add) {
  const int row = blockIdx.x * (kThreads / kWarp) + threadIdx.x / kWarp;
  if (row >= rows) return;
  const __half2* weights = matrix + size_t(row) * columns / 2;
  float sum = 0;
  for (int i = threadIdx.x % kWarp; i < columns / 2; i += kWarp) {
    const float2 pair = __half22float2(weights[i]);
    sum += pair.x * in[2 * i] + pair.y * in[2 * i + 1];
  }
  sum = warp_sum(sum);
  if (threadIdx.x % kWarp == 0) out[row] = add ? out[row] + sum : sum;
}

/// Rotates query and key by the position, and keeps key and value.
__global__ void rotate(float* qkv, float* keys, float* values, int hidden, int head, int position) {
  const int pair = blockIdx.x * blockDim.x + threadIdx.x;
  if (2 * pair >= hidden) return;
  const float angle = position * __expf(-9.2f * (2 * pair % head) / head);
  const float sine = __sinf(angle), cosine = __cosf(angle);
  for (float* part : {qkv, qkv + hidden}) {
    const float a = part[2 * pair], b = part[2 * pair + 1];
    part[2 * pair] = a * cosine - b * sine;
    part[2 * pair + 1] = a * sine + b * cosine;
  }
  for (int i = 2 * pair; i < 2 * pair + 2; ++i) {
    keys[size_t(position) * hidden + i] = qkv[hidden + i];
    values[size_t(position) * hidden + i] = qkv[2 * hidden + i];
  }
}

/// One block of a warp for each head; what a softmax over the positions so far gives.
__global__ void attend(const float* qkv, const float* keys, const float* values, float* out, int hidden, int head,
                       int positions) {
  const int from = blockIdx.x * head;
  float highest = -1e30f, weight = 0;
  extern __shared__ float sum[];
  for (int i = threadIdx.x; i < head; i += kWarp) sum[i] = 0;
  for (int position = 0; position < positions; ++position) {
    const size_t at = size_t(position) * hidden + from;
    float score = 0;
    for (int i = threadIdx.x; i < head; i += kWarp) score += qkv[from + i] * keys[at + i];
    score = warp_sum(score) * rsqrtf(static_cast<float>(head));
    const float now = fmaxf(highest, score), old = __expf(highest - now), mine = __expf(score - now);
    for (int i = threadIdx.x; i < head; i += kWarp) sum[i] = sum[i] * old + mine * values[at + i];
    weight = weight * old + mine;
    highest = now;
  }
  for (int i = threadIdx.x; i < head; i += kWarp) out[from + i] = sum[i] / weight;
}

__global__ void gate(float* both, int inner) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < inner) both[i] = both[i] / (1 + __expf(-both[i])) * both[inner + i];
}

__global__ void highest(const float* values, int count, int* token) {
  __shared__ float best[kThreads];
  __shared__ int where[kThreads];
  float mine = -1e30f;
  int at = 0;
  for (int i = threadIdx.x; i < count; i += blockDim.x)
    if (values[i] > mine) mine = values[i], at = i;
  best[threadIdx.x] = mine;
  where[threadIdx.x] = at;
  for (int step = kThreads / 2; step > 0; step /= 2) {
    __syncthreads();
    if (threadIdx.x < step && best[threadIdx.x + step] > best[threadIdx.x]) {
      best[threadIdx.x] = best[threadIdx.x + step];
      where[threadIdx.x] = where[threadIdx.x + step];
    }
  }
  if (threadIdx.x == 0) *token = where[0];
}

int blocks(int count, int each) { return (count + each - 1) / each; }

struct Layer {
  __half *qkv, *out, *up, *down;
  float *keys, *values;
};

class Model {
 public:
  explicit Model(const Shape& shape) : shape_(shape) {
    CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    const size_t hidden = shape.hidden, inner = shape.inner;
    table_ = weights(shape.vocabulary * hidden);
    for (int i = 0; i < shape.layers; ++i)
      layers_.push_back({weights(3 * hidden * hidden), weights(hidden * hidden), weights(2 * inner * hidden),
                         weights(hidden * inner), floats(shape.tokens * hidden), floats(shape.tokens * hidden)});
    state_ = floats(hidden);
    normal_ = floats(hidden);
    qkv_ = floats(3 * hidden);
    attended_ = floats(hidden);
    inner_ = floats(2 * inner);
    logits_ = floats(shape.vocabulary);
    CHECK(cudaMalloc(&token_, sizeof(int)));
    CHECK(cudaMemset(token_, 0, sizeof(int)));
    CHECK(cudaMallocHost(&answer_, sizeof(int)));
    CHECK(cudaDeviceSynchronize());
  }

  /// The next token; the caller has it when this returns.
  int step(int position) {
    const int hidden = shape_.hidden, inner = shape_.inner;
    embed<<<1, kThreads, 0, stream_>>>(table_, token_, state_, hidden);
    for (const Layer& layer : layers_) {
      normalize<<<1, kThreads, 0, stream_>>>(state_, normal_, hidden);
      product(layer.qkv, normal_, qkv_, 3 * hidden, hidden, false);
      rotate<<<blocks(hidden / 2, kThreads), kThreads, 0, stream_>>>(qkv_, layer.keys, layer.values, hidden,
                                                                     shape_.head(), position);
      attend<<<shape_.heads, kWarp, shape_.head() * sizeof(float), stream_>>>(qkv_, layer.keys, layer.values, attended_,
                                                                              hidden, shape_.head(), position + 1);
      product(layer.out, attended_, state_, hidden, hidden, true);
      normalize<<<1, kThreads, 0, stream_>>>(state_, normal_, hidden);
      product(layer.up, normal_, inner_, 2 * inner, hidden, false);
      gate<<<blocks(inner, kThreads), kThreads, 0, stream_>>>(inner_, inner);
      product(layer.down, inner_, state_, hidden, inner, true);
    }
    normalize<<<1, kThreads, 0, stream_>>>(state_, normal_, hidden);
    product(table_, normal_, logits_, shape_.vocabulary, hidden, false);
    highest<<<1, kThreads, 0, stream_>>>(logits_, shape_.vocabulary, token_);
    CHECK(cudaGetLastError());
    CHECK(cudaMemcpyAsync(answer_, token_, sizeof(int), cudaMemcpyDeviceToHost, stream_));
    CHECK(cudaStreamSynchronize(stream_));
    return *answer_;
  }

 private:
  __half* weights(size_t count) {
    __half* memory = nullptr;
    CHECK(cudaMalloc(&memory, count * sizeof(__half)));
    fill<<<256, kThreads>>>(memory, count, 0.02f);
    CHECK(cudaGetLastError());
    return memory;
  }
  float* floats(size_t count) {
    float* memory = nullptr;
    CHECK(cudaMalloc(&memory, count * sizeof(float)));
    return memory;
  }
  void product(const __half* matrix, const float* in, float* out, int rows, int columns, bool add) {
    multiply<<<blocks(rows, kThreads / kWarp), kThreads, 0, stream_>>>(reinterpret_cast<const __half2*>(matrix), in,
                                                                       out, rows, columns, add);
  }

  Shape shape_;
  cudaStream_t stream_ = nullptr;
  __half* table_ = nullptr;
  std::vector<Layer> layers_;
  float *state_ = nullptr, *normal_ = nullptr, *qkv_ = nullptr, *attended_ = nullptr, *inner_ = nullptr,
        *logits_ = nullptr;
  int *token_ = nullptr, *answer_ = nullptr;
};

/// Tokens a second.
void decode(const Shape& shape) {
  Model model(shape);
  vgpu::bench::begin_row("decode");
  std::vector<double> samples;
  int last = 0;
  for (int sample = -1; sample < shape.samples; ++sample) {
    const auto start = std::chrono::steady_clock::now();
    for (int position = 0; position < shape.tokens; ++position) last = model.step(position);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    // The first one warms up.
    if (sample >= 0) samples.push_back(shape.tokens / taken.count());
  }
  if (last < 0 || last >= shape.vocabulary) {
    vgpu::bench::fail_row("decode", "the last token is none");
    return;
  }
  vgpu::bench::give_row("decode", samples, static_cast<unsigned long>(shape.tokens) * (shape.samples + 1));
}

}  // namespace

int main(int argc, char** argv) {
  const bool quick = argc > 1 && std::strcmp(argv[1], "--quick") == 0;
  decode(quick ? kQuick : kFull);
  return 0;
}
