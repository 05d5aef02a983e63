// Memory: local arrays, static and dynamic shared memory, constants, generic pointers, vectors, hints, volatile.
#include "corpus.hpp"

using u32 = unsigned;
using u64 = unsigned long long;

namespace {
constexpr int kCount = 512;
}

struct Table {
  int first;
  double second;
  const int* pointer;
  short third[3];
};
__device__ int pointed[3] = {11, 22, 33};
__device__ Table table = {-5, 2.5, &pointed[1], {1, -2, 3}};
__constant__ float coefficients[5] = {1.0f, -0.5f, 0.25f, -0.125f, 0.0625f};
__constant__ u32 filled[64];
__device__ u32 counter;
__device__ const char text[] = "some text in global memory";

/// An array that is indexed by what is only known at run time lies in local memory.
__global__ void local_array(u32* out, const u32* in, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= n) return;
  u32 cells[40];
  for (int k = 0; k < 40; ++k) cells[k] = in[(i + k) % n];
  for (int k = 1; k < 40; ++k) {  // insertion sort
    const u32 one = cells[k];
    int at = k;
    for (; at > 0 && cells[at - 1] > one; --at) cells[at] = cells[at - 1];
    cells[at] = one;
  }
  out[i] = cells[in[i] % 40] ^ cells[0];
}

__global__ void shared_static(u32* out, const u32* in) {
  __shared__ u32 cells[128];
  __shared__ unsigned char bytes[128];
  __shared__ double wide[2];
  cells[threadIdx.x] = in[blockIdx.x * 128 + threadIdx.x];
  bytes[127 - threadIdx.x] = static_cast<unsigned char>(threadIdx.x * 3);
  if (threadIdx.x < 2) wide[threadIdx.x] = 1.5 * threadIdx.x;
  __syncthreads();
  out[blockIdx.x * 128 + threadIdx.x] =
      cells[(threadIdx.x * 5) & 127] + bytes[threadIdx.x] + static_cast<u32>(wide[1] * 2);
}

extern __shared__ __align__(16) unsigned char dynamic[];
__global__ void shared_dynamic(u32* out, u32 words) {
  u32* const cells = reinterpret_cast<u32*>(dynamic);
  u64* const longs = reinterpret_cast<u64*>(dynamic + words * 4);
  for (u32 i = threadIdx.x; i < words; i += blockDim.x) cells[i] = i * i;
  longs[threadIdx.x] = threadIdx.x * 0x100000007ull;
  __syncthreads();
  out[threadIdx.x] = cells[(threadIdx.x * 97) % words] ^ static_cast<u32>(longs[63 - threadIdx.x] >> 32);
}

__global__ void constants(float* out, u32* words) {
  const u32 i = threadIdx.x;
  float sum = 0;
  for (u32 k = 0; k < 5; ++k) sum += coefficients[(i + k) % 5] * static_cast<float>(k);
  out[i] = sum;
  words[i] = filled[i & 63] +
             static_cast<u32>(table.first + *table.pointer + static_cast<int>(table.second * 2) + table.third[i % 3]) +
             static_cast<u32>(text[i % 26]);
  atomicAdd(&counter, i);
}

/// The same instruction meets every space by generic pointers.
__device__ __noinline__ u32 read_any(const u32* p) { return *p + 1; }
__global__ void generic_pointers(u32* out, const u32* in) {
  __shared__ u32 shared_cell[32];
  u32 local_cell[2] = {in[threadIdx.x], 9};
  shared_cell[threadIdx.x] = in[threadIdx.x] * 2;
  __syncthreads();
  const u32* p = threadIdx.x % 4 == 0   ? &shared_cell[31 - threadIdx.x]
                 : threadIdx.x % 4 == 1 ? &local_cell[in[0] & 1]
                 : threadIdx.x % 4 == 2 ? &filled[threadIdx.x]
                                        : &in[threadIdx.x];
  u32 kinds = (__isShared(p) ? 1 : 0) | (__isLocal(p) ? 2 : 0) | (__isConstant(p) ? 4 : 0) | (__isGlobal(p) ? 8 : 0);
  if (threadIdx.x % 4 == 2 && (kinds & 3) == 0) kinds = 4;  // constants may lie in global memory too
  out[threadIdx.x] = read_any(p) * 16 + kinds;
}

__global__ void vectors(uint4* out, const uint4* in, double2* doubles, const uchar4* bytes, ushort2* shorts) {
  const u32 i = threadIdx.x;
  const uint4 v = in[i];
  const uint2 half = reinterpret_cast<const uint2*>(in)[2 * i + 1];
  out[i] = make_uint4(v.w, v.z ^ half.y, half.x, v.x);
  doubles[i] = make_double2(v.x * 0.5, v.y * 0.25);
  const uchar4 b = bytes[i];
  shorts[i] = make_ushort2(static_cast<unsigned short>(b.x * b.y), static_cast<unsigned short>(b.z + b.w));
}

__global__ void hints(u32* out, const u32* __restrict__ in) {
  const u32 i = threadIdx.x;
  u32 sum = __ldg(in + i) + __ldca(in + i) + __ldcg(in + i) + __ldcs(in + i) + __ldcv(in + i) + __ldlu(in + i);
  u32 x;
  asm volatile("prefetch.global.L2 [%0];" ::"l"(in + i));
  asm volatile("ld.global.L1::evict_last.u32 %0, [%1];" : "=r"(x) : "l"(in + i));
  sum += x;
  asm volatile("ld.global.nc.L1::no_allocate.u32 %0, [%1];" : "=r"(x) : "l"(in + i));
  sum += x;
  __stwb(out + i, sum);
  __stcg(out + 64 + i, sum + 1);
  __stcs(out + 128 + i, sum + 2);
  __stwt(out + 192 + i, sum + 3);
}

__global__ void volatile_cells(volatile u32* cells, u32* out) {
  const u32 i = threadIdx.x;
  cells[i] = i;
  cells[i] = cells[i] + 1;
  __threadfence();
  out[i] = cells[i] * 2 + cells[i];
}

struct Parameters {
  u32 numbers[100];
  double scale;
  char tail[7];
};
/// Parameters too large for registers, indexed at run time.
__global__ void many_parameters(u32* out, const Parameters parameters, char small, short2 pair, u64 wide) {
  const u32 i = threadIdx.x;
  out[i] = parameters.numbers[(i * 7) % 100] + static_cast<u32>(parameters.scale * i) +
           static_cast<u32>(parameters.tail[i % 7]) + static_cast<u32>(small) + static_cast<u32>(pair.x * pair.y) +
           static_cast<u32>(wide >> 33);
}

/// Bytes and halves at every offset.
__global__ void narrow(unsigned char* bytes, short* shorts) {
  const u32 i = threadIdx.x;
  bytes[i * 3 % 256] = static_cast<unsigned char>(i);
  shorts[255 - i] = static_cast<short>(-static_cast<int>(i) * 100);
}

int main() {
  const auto in = corpus::any_bits<u32>(kCount);
  const corpus::Buffer<u32> device_in(in);
  {
    std::vector<u32> wanted(kCount);
    for (int i = 0; i < kCount; ++i) {
      std::vector<u32> cells(40);
      for (int k = 0; k < 40; ++k) cells[k] = in[(i + k) % kCount];
      std::sort(cells.begin(), cells.end());
      wanted[i] = cells[in[i] % 40] ^ cells[0];
    }
    corpus::exact("local_array", corpus::mapped(local_array, in), wanted);
  }
  {
    corpus::Buffer<u32> out(kCount);
    shared_static<<<kCount / 128, 128>>>(out, device_in);
    std::vector<u32> wanted(kCount);
    for (u32 i = 0; i < kCount; ++i)
      wanted[i] = in[i / 128 * 128 + i % 128 * 5 % 128] + static_cast<unsigned char>((127 - i % 128) * 3) + 3;
    corpus::exact("shared_static", out.values(), wanted);
  }
  {
    constexpr u32 words = 17000;
    constexpr u32 bytes = words * 4 + 64 * 8;
    static_assert(bytes > 48 * 1024 && bytes <= 99 * 1024, "more than a launch may have without asking");
    corpus::Buffer<u32> out(64);
    shared_dynamic<<<1, 64, bytes>>>(out, words);
    EXPECT(cudaErrorInvalidValue, cudaGetLastError());
    CHECK(cudaFuncSetAttribute(shared_dynamic, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    shared_dynamic<<<1, 64, bytes>>>(out, words);
    std::vector<u32> wanted(64);
    for (u32 i = 0; i < 64; ++i)
      wanted[i] = (i * 97 % words) * (i * 97 % words) ^ static_cast<u32>((63 - i) * 0x100000007ull >> 32);
    corpus::exact("shared_dynamic", out.values(), wanted);
  }
  std::vector<u32> words(64);
  for (u32 i = 0; i < 64; ++i) words[i] = i * 1000003;
  CHECK(cudaMemcpyToSymbol(filled, words.data(), sizeof filled));
  {
    corpus::Buffer<float> out(100);
    corpus::Buffer<u32> texts(100);
    constants<<<1, 100>>>(out, texts);
    const float c[5] = {1.0f, -0.5f, 0.25f, -0.125f, 0.0625f};
    const int third[3] = {1, -2, 3};
    const char characters[] = "some text in global memory";
    std::vector<float> wanted(100);
    std::vector<u32> wanted_texts(100);
    for (u32 i = 0; i < 100; ++i) {
      for (u32 k = 0; k < 5; ++k) wanted[i] += c[(i + k) % 5] * static_cast<float>(k);
      wanted_texts[i] =
          words[i & 63] + static_cast<u32>(-5 + 22 + 5 + third[i % 3]) + static_cast<u32>(characters[i % 26]);
    }
    corpus::exact("constant_floats", out.values(), wanted);
    corpus::exact("initial_values", texts.values(), wanted_texts);
    u32 count = 0;
    CHECK(cudaMemcpyFromSymbol(&count, counter, sizeof count));
    corpus::exact("symbol", std::vector<u32>{count}, {100u * 99 / 2});
  }
  {
    corpus::Buffer<u32> out(32);
    generic_pointers<<<1, 32>>>(out, device_in);
    std::vector<u32> wanted(32);
    for (u32 i = 0; i < 32; ++i)
      wanted[i] = i % 4 == 0   ? (in[31 - i] * 2 + 1) * 16 + 1
                  : i % 4 == 1 ? ((in[0] & 1 ? 9 : in[i]) + 1) * 16 + 2
                  : i % 4 == 2 ? (words[i] + 1) * 16 + 4
                               : (in[i] + 1) * 16 + 8;
    corpus::exact("generic_pointers", out.values(), wanted);
  }
  {
    corpus::Buffer<uint4> out(64);
    corpus::Buffer<double2> doubles(64);
    corpus::Buffer<ushort2> shorts(64);
    vectors<<<1, 64>>>(out, reinterpret_cast<const uint4*>(device_in.get()), doubles,
                       reinterpret_cast<const uchar4*>(device_in.get()), shorts);
    std::vector<u32> wanted(256);
    std::vector<double> wanted_doubles(128);
    std::vector<unsigned short> wanted_shorts(128);
    for (u32 i = 0; i < 64; ++i) {
      const u32* v = &in[i * 4];
      wanted[i * 4] = v[3], wanted[i * 4 + 1] = v[2] ^ v[3], wanted[i * 4 + 2] = v[2], wanted[i * 4 + 3] = v[0];
      wanted_doubles[i * 2] = v[0] * 0.5, wanted_doubles[i * 2 + 1] = v[1] * 0.25;
      const u32 b = in[i];
      wanted_shorts[i * 2] = static_cast<unsigned short>((b & 255) * (b >> 8 & 255)),
                        wanted_shorts[i * 2 + 1] = static_cast<unsigned short>((b >> 16 & 255) + (b >> 24));
    }
    const auto got = out.values();
    const auto got_doubles = doubles.values();
    const auto got_shorts = shorts.values();
    corpus::exact("vector_words", std::vector<u32>(&got[0].x, &got[0].x + 256), wanted);
    corpus::exact("vector_doubles", std::vector<double>(&got_doubles[0].x, &got_doubles[0].x + 128), wanted_doubles);
    corpus::exact("vector_bytes", std::vector<unsigned short>(&got_shorts[0].x, &got_shorts[0].x + 128), wanted_shorts);
  }
  {
    corpus::Buffer<u32> out(256), cells(64);
    hints<<<1, 64>>>(out, device_in);
    std::vector<u32> wanted(256);
    for (u32 i = 0; i < 256; ++i) wanted[i] = in[i % 64] * 8 + i / 64;
    corpus::exact("cache_hints", out.values(), wanted);
    volatile_cells<<<1, 64>>>(cells, out);
    for (u32 i = 0; i < 64; ++i) wanted[i] = (i + 1) * 3;
    corpus::exact("volatile_cells", out.values(), wanted);
  }
  {
    Parameters parameters{};
    for (u32 i = 0; i < 100; ++i) parameters.numbers[i] = i * i * i;
    parameters.scale = 2.5;
    for (int i = 0; i < 7; ++i) parameters.tail[i] = static_cast<char>(i * 9);
    corpus::Buffer<u32> out(128);
    many_parameters<<<1, 128>>>(out, parameters, 'x', make_short2(-3, 5), 1ull << 40);
    std::vector<u32> wanted(128);
    for (u32 i = 0; i < 128; ++i)
      wanted[i] = parameters.numbers[i * 7 % 100] + static_cast<u32>(2.5 * i) + i % 7 * 9 + 'x' - 15 + 128;
    corpus::exact("many_parameters", out.values(), wanted);
  }
  {
    corpus::Buffer<unsigned char> bytes(256);
    corpus::Buffer<short> shorts(256);
    narrow<<<1, 256>>>(bytes, shorts);
    std::vector<unsigned char> wanted(256);
    std::vector<short> wanted_shorts(256);
    for (int i = 0; i < 256; ++i)
      wanted[i * 3 % 256] = static_cast<unsigned char>(i), wanted_shorts[255 - i] = static_cast<short>(-i * 100);
    corpus::exact("narrow_bytes", bytes.values(), wanted);
    corpus::exact("narrow_shorts", shorts.values(), wanted_shorts);
  }
  std::printf("memory_spaces: ok\n");
}
