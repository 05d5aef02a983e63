// Sums, extremes and a histogram: shuffles and votes within a warp, shared memory within a block, atomics of several
// kinds between blocks.
#include <algorithm>
#include <vector>

#include "check.hpp"

struct Totals {
  unsigned long long sum;
  unsigned int odd;
  int least;
  int greatest;
  float float_sum;
  unsigned int bits;
  unsigned int blocks_done;
  int swapped;
};

__global__ void reduce(const int* values, int count, Totals* totals) {
  __shared__ long long warp_sums[32];
  long long sum = 0;
  int least = 0x7fffffff;
  int greatest = -0x7fffffff - 1;
  unsigned odd = 0;
  unsigned bits = 0;
  const int stride = gridDim.x * blockDim.x;
  const int rounds = (count + stride - 1) / stride;
  for (int round = 0; round < rounds; ++round) {
    const int i = round * stride + blockIdx.x * blockDim.x + threadIdx.x;
    const bool inside = i < count;
    const int value = inside ? values[i] : 0;
    // Every lane votes, also those past the end.
    odd += __popc(__ballot_sync(0xffffffffu, inside && (value & 1)));
    if (!inside) continue;
    sum += value;
    bits ^= static_cast<unsigned>(value);
    least = min(least, value);
    greatest = max(greatest, value);
  }
  for (int offset = 16; offset > 0; offset >>= 1) sum += __shfl_down_sync(0xffffffffu, sum, offset);
  for (int mask = 16; mask > 0; mask >>= 1) {
    least = min(least, __shfl_xor_sync(0xffffffffu, least, mask));
    greatest = max(greatest, __shfl_xor_sync(0xffffffffu, greatest, mask));
    bits ^= __shfl_xor_sync(0xffffffffu, bits, mask);
  }
  const int lane = threadIdx.x & 31;
  const int warp = threadIdx.x >> 5;
  if (lane == 0) {
    warp_sums[warp] = sum;
    atomicMin(&totals->least, least);
    atomicMax(&totals->greatest, greatest);
    atomicAdd(&totals->odd, odd);
    atomicXor(&totals->bits, bits);
  }
  __syncthreads();
  if (warp == 0) {
    const int warps = blockDim.x >> 5;
    sum = lane < warps ? warp_sums[lane] : 0;
    for (int offset = 16; offset > 0; offset >>= 1) sum += __shfl_down_sync(0xffffffffu, sum, offset);
    if (lane == 0) {
      atomicAdd(&totals->sum, static_cast<unsigned long long>(sum));
      atomicAdd(&totals->float_sum, 0.5f);
      __threadfence();
      atomicInc(&totals->blocks_done, 0xffffffffu);
      // Exactly one block finds 0 and leaves its mark.
      atomicCAS(&totals->swapped, 0, static_cast<int>(blockIdx.x) + 1);
    }
  }
}

__global__ void histogram(const int* values, int count, unsigned* bins) {
  __shared__ unsigned local[16];
  if (threadIdx.x < 16) local[threadIdx.x] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x)
    atomicAdd(&local[values[i] & 15], 1u);
  __syncthreads();
  if (threadIdx.x < 16) atomicAdd(&bins[threadIdx.x], local[threadIdx.x]);
}

int main() {
  const int count = 150007;
  const int blocks = 24;
  std::vector<int> values(count);
  Numbers numbers(6);
  for (int& value : values) value = static_cast<int>(numbers.next() >> 33) - (1 << 30);
  long long sum = 0;
  unsigned odd = 0, bits = 0;
  std::vector<unsigned> bins(16, 0);
  for (int value : values) {
    sum += value;
    odd += value & 1;
    bits ^= static_cast<unsigned>(value);
    ++bins[value & 15];
  }

  int* device_values;
  Totals* device_totals;
  unsigned* device_bins;
  CHECK(cudaMalloc(&device_values, count * sizeof(int)));
  CHECK(cudaMalloc(&device_totals, sizeof(Totals)));
  CHECK(cudaMalloc(&device_bins, 16 * sizeof(unsigned)));
  CHECK(cudaMemcpy(device_values, values.data(), count * sizeof(int), cudaMemcpyHostToDevice));
  Totals totals{};
  totals.least = 0x7fffffff;
  totals.greatest = -0x7fffffff - 1;
  CHECK(cudaMemcpy(device_totals, &totals, sizeof totals, cudaMemcpyHostToDevice));
  CHECK(cudaMemset(device_bins, 0, 16 * sizeof(unsigned)));
  reduce<<<blocks, 192>>>(device_values, count, device_totals);
  histogram<<<blocks, 128>>>(device_values, count, device_bins);
  CHECK(cudaGetLastError());
  CHECK(cudaDeviceSynchronize());
  CHECK(cudaMemcpy(&totals, device_totals, sizeof totals, cudaMemcpyDeviceToHost));
  std::vector<unsigned> got_bins(16);
  CHECK(cudaMemcpy(got_bins.data(), device_bins, 16 * sizeof(unsigned), cudaMemcpyDeviceToHost));

  REQUIRE(static_cast<long long>(totals.sum) == sum, "the sum is %lld, not %lld", static_cast<long long>(totals.sum),
          sum);
  REQUIRE(totals.odd == odd, "%u odd values, not %u", totals.odd, odd);
  REQUIRE(totals.bits == bits, "the exclusive or is %08x, not %08x", totals.bits, bits);
  const int least = *std::min_element(values.begin(), values.end());
  const int greatest = *std::max_element(values.begin(), values.end());
  REQUIRE(totals.least == least, "the least is %d, not %d", totals.least, least);
  REQUIRE(totals.greatest == greatest, "the greatest is %d, not %d", totals.greatest, greatest);
  REQUIRE(totals.float_sum == 0.5f * blocks, "the float sum is %g, not %g", totals.float_sum, 0.5f * blocks);
  REQUIRE(totals.blocks_done == blocks, "%u blocks were counted, not %d", totals.blocks_done, blocks);
  REQUIRE(totals.swapped >= 1 && totals.swapped <= blocks, "compare-and-swap left %d", totals.swapped);
  for (int i = 0; i < 16; ++i) REQUIRE(got_bins[i] == bins[i], "bin %d holds %u, not %u", i, got_bins[i], bins[i]);
  CHECK(cudaFree(device_values));
  CHECK(cudaFree(device_totals));
  CHECK(cudaFree(device_bins));
  std::printf("reduction: ok, %d values, sum %lld, %u odd\n", count, sum, odd);
  return 0;
}
