// link: -lcurand
// about: cuRAND generators of every kind, and its device functions
#include <curand.h>
#include <curand_kernel.h>

#include "results.h"

__global__ void draw(float* out, unsigned long long seed) {
  curandStatePhilox4_32_10_t state;
  const int index = blockIdx.x * blockDim.x + threadIdx.x;
  curand_init(seed, index, 0, &state);
  out[2 * index] = curand_uniform(&state);
  out[2 * index + 1] = curand_normal(&state);
}

int main() {
  const std::size_t count = 20000;
  const struct {
    const char* name;
    curandRngType_t kind;
  } kinds[] = {{"xorwow", CURAND_RNG_PSEUDO_XORWOW},        {"mrg32k3a", CURAND_RNG_PSEUDO_MRG32K3A},
               {"mtgp32", CURAND_RNG_PSEUDO_MTGP32},        {"mt19937", CURAND_RNG_PSEUDO_MT19937},
               {"philox", CURAND_RNG_PSEUDO_PHILOX4_32_10}, {"sobol", CURAND_RNG_QUASI_SCRAMBLED_SOBOL32}};
  for (const auto& [name, kind] : kinds) {
    OnDevice<float> values(count);
    OnDevice<double> doubles(count);
    OnDevice<unsigned> integers(count);
    curandGenerator_t generator;
    CHECK(curandCreateGenerator(&generator, kind));
    if (kind < CURAND_RNG_QUASI_DEFAULT) CHECK(curandSetPseudoRandomGeneratorSeed(generator, 163));
    CHECK(curandGenerateUniform(generator, values.data(), count));
    const auto uniform = values.host();
    double sum = 0;
    for (float value : uniform) sum += value;
    check(name, std::vector<double>{sum / count}, std::vector<double>{0.5}, 0.02);
    give(std::string(name) + "-uniform", uniform);
    CHECK(curandGenerateNormalDouble(generator, doubles.data(), count, 1.0, 2.0));
    give(std::string(name) + "-normal", doubles.host(), 1e-14);
    CHECK(curandGeneratePoisson(generator, integers.data(), count, 5.0));
    give(std::string(name) + "-poisson", integers.host());
    CHECK(curandDestroyGenerator(generator));
  }
  OnDevice<float> drawn(2 * 4096);
  draw<<<16, 256>>>(drawn.data(), 167);
  CHECK(cudaGetLastError());
  give("device", drawn.host(), 1e-6);
}
