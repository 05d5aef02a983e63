// cuRAND's device generators: their sequences are compared with what a real GPU gave; here with what is known of them.
#include <curand_kernel.h>

#include "corpus.hpp"

using u32 = unsigned;

template <class State>
__global__ void sequence(u32* out, unsigned long long seed) {
  State state;
  curand_init(seed, threadIdx.x, 3, &state);
  for (u32 i = 0; i < 8; ++i) out[threadIdx.x * 8 + i] = curand(&state);
}

template <class State>
__global__ void distributions(float* out, double* wide) {
  State state;
  curand_init(42, threadIdx.x, 0, &state);
  for (u32 i = 0; i < 8; ++i) {
    out[threadIdx.x * 16 + i] = curand_uniform(&state);
    out[threadIdx.x * 16 + 8 + i] = curand_normal(&state);
    wide[threadIdx.x * 8 + i] = curand_uniform_double(&state);
  }
}

__global__ void poisson(u32* out) {
  curandStatePhilox4_32_10_t state;
  curand_init(7, threadIdx.x, 0, &state);
  for (u32 i = 0; i < 8; ++i) out[threadIdx.x * 8 + i] = curand_poisson(&state, 4.0);
}

__global__ void sobol(u32* out, u32* vectors) {
  curandStateSobol32_t state;
  curand_init(vectors, threadIdx.x * 8, &state);
  for (u32 i = 0; i < 8; ++i) out[threadIdx.x * 8 + i] = curand(&state);
}

/// Philox 4x32 of ten rounds (Salmon and others, "Parallel random numbers: as easy as 1, 2, 3").
static void philox(const u32* counter, const u32* key, u32* out) {
  u32 c[4] = {counter[0], counter[1], counter[2], counter[3]}, k[2] = {key[0], key[1]};
  for (int round = 0; round < 10; ++round) {
    const unsigned long long a = 0xD2511F53ull * c[0], b = 0xCD9E8D57ull * c[2];
    const u32 next[4] = {static_cast<u32>(b >> 32) ^ c[1] ^ k[0], static_cast<u32>(b),
                         static_cast<u32>(a >> 32) ^ c[3] ^ k[1], static_cast<u32>(a)};
    std::copy(next, next + 4, c);
    k[0] += 0x9E3779B9u, k[1] += 0xBB67AE85u;
  }
  std::copy(c, c + 4, out);
}

template <class State>
void run(const char* name) {
  corpus::Buffer<float> out(64 * 16);
  corpus::Buffer<double> wide(64 * 8);
  distributions<State><<<1, 64>>>(out, wide);
  const auto values = out.values();
  double uniform = 0, normal = 0, square = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i % 16 < 8) {
      REQUIRE(values[i] > 0 && values[i] <= 1, "%s: a uniform number is %g", name, values[i]);
      uniform += values[i] / 512;
    } else {
      normal += values[i] / 512, square += values[i] * values[i] / 512;
    }
  }
  REQUIRE(std::fabs(uniform - 0.5) < 0.06 && std::fabs(normal) < 0.2 && std::fabs(square - 1) < 0.3,
          "%s: means %g %g %g", name, uniform, normal, square);
  // The normal numbers are made by approximate functions: compared with the recorded ones within a bound.
  std::vector<long double> same(values.begin(), values.end());
  corpus::approximate((std::string(name) + "_floats").c_str(), values, same, 8, 1e-5);
  corpus::print_exact((std::string(name) + "_doubles").c_str(), wide.values());
}

int main() {
  corpus::Buffer<u32> out(64 * 8);
  sequence<curandStatePhilox4_32_10_t><<<1, 64>>>(out, 0x123456789abcdefull);
  std::vector<u32> wanted(64 * 8);
  const u32 key[2] = {0x89abcdefu, 0x01234567u};
  for (u32 t = 0; t < 64; ++t)
    for (u32 i = 0; i < 8; ++i) {
      const u32 counter[4] = {(i + 3) / 4, 0, t, 0};
      u32 block[4];
      philox(counter, key, block);
      wanted[t * 8 + i] = block[(i + 3) % 4];
    }
  corpus::exact("curand_philox", out.values(), wanted);
  sequence<curandStateXORWOW_t><<<1, 64>>>(out, 99);
  corpus::print_exact("curand_xorwow", out.values());
  sequence<curandStateMRG32k3a_t><<<1, 64>>>(out, 99);
  corpus::print_exact("curand_mrg32k3a", out.values());
  run<curandStateXORWOW_t>("curand_xorwow");
  run<curandStatePhilox4_32_10_t>("curand_philox");
  run<curandStateMRG32k3a_t>("curand_mrg32k3a");
  poisson<<<1, 64>>>(out);
  corpus::print_exact("curand_poisson", out.values());
  // The first dimension's direction vectors: one bit each, which makes van der Corput's sequence in Gray code order.
  std::vector<u32> vectors(32);
  for (u32 i = 0; i < 32; ++i) vectors[i] = 1u << (31 - i);
  const corpus::Buffer<u32> device_vectors(vectors);
  sobol<<<1, 64>>>(out, device_vectors);
  for (u32 i = 0; i < wanted.size(); ++i) {
    const u32 gray = i ^ (i >> 1);
    wanted[i] = 0;
    for (u32 bit = 0; bit < 32; ++bit)
      if (gray >> bit & 1) wanted[i] ^= vectors[bit];
  }
  corpus::exact("curand_sobol", out.values(), wanted);
  std::printf("curand: ok\n");
}
