// CUB from the toolkit: device-wide algorithms, and those of blocks and warps.
#include <cub/cub.cuh>
#include <numeric>

#include "corpus.hpp"

using u32 = unsigned;
using u64 = unsigned long long;

namespace {

/// Calls a device-wide algorithm twice, as CUB wants it: for the size of its workspace, then to run.
template <class F>
void run(F f) {
  std::size_t bytes = 0;
  CHECK(f(nullptr, bytes));
  corpus::Buffer<char> workspace(bytes + 1);
  CHECK(f(workspace.get(), bytes));
  CHECK(cudaDeviceSynchronize());
}

template <class Key>
void radix_sort(const char* name, std::vector<Key> keys) {
  corpus::Buffer<Key> in(keys), out(keys.size());
  run([&](void* w, std::size_t& b) {
    return cub::DeviceRadixSort::SortKeys(w, b, in.get(), out.get(), static_cast<int>(keys.size()));
  });
  std::sort(keys.begin(), keys.end());
  corpus::exact(name, out.values(), keys);
}

struct Odd {
  __host__ __device__ bool operator()(u32 x) const { return x % 2 == 1; }
};

}  // namespace

__global__ void block_primitives(const u32* in, u32* out) {
  using Sort = cub::BlockRadixSort<u32, 128, 4>;
  using Scan = cub::BlockScan<u32, 128>;
  using Reduce = cub::BlockReduce<u32, 128>;
  using Load = cub::BlockLoad<u32, 128, 4, cub::BLOCK_LOAD_TRANSPOSE>;
  __shared__ union {
    Sort::TempStorage sort;
    Scan::TempStorage scan;
    Reduce::TempStorage reduce;
    Load::TempStorage load;
  } storage;
  u32 items[4];
  Load(storage.load).Load(in, items);
  __syncthreads();
  Sort(storage.sort).Sort(items);
  __syncthreads();
  u32 before;
  Scan(storage.scan).ExclusiveSum(items[0], before);
  __syncthreads();
  const u32 most = Reduce(storage.reduce).Reduce(items[3], [](u32 a, u32 b) { return a > b ? a : b; });
  for (int i = 0; i < 4; ++i) out[threadIdx.x * 4 + i] = items[i];
  out[512 + threadIdx.x] = before;
  if (threadIdx.x == 0) out[640] = most;
}

__global__ void warp_primitives(const u32* in, u32* out) {
  using Scan = cub::WarpScan<u32>;
  using Reduce = cub::WarpReduce<u32, 16>;
  __shared__ Scan::TempStorage scans[2];
  __shared__ Reduce::TempStorage sums[4];
  u32 sum;
  Scan(scans[threadIdx.x / 32]).InclusiveSum(in[threadIdx.x], sum);
  out[threadIdx.x] = sum;
  const u32 total = Reduce(sums[threadIdx.x / 16]).Sum(in[threadIdx.x]);
  if (threadIdx.x % 16 == 0) out[64 + threadIdx.x / 16] = total;
}

int main() {
  constexpr int n = 6000;
  const auto in = corpus::any_bits<u32>(n);
  const corpus::Buffer<u32> source(in);
  radix_sort("cub_sort_u32", in);
  radix_sort("cub_sort_u64", corpus::any_bits<u64>(n));
  radix_sort("cub_sort_s16", corpus::any_bits<short>(n));
  std::vector<double> doubles(n);
  Numbers numbers(4);
  for (double& d : doubles) d = numbers.next_float() * 1000.0 + 0.001;
  radix_sort("cub_sort_double", doubles);
  {
    corpus::Buffer<u32> out(n), count(1);
    run([&](void* w, std::size_t& b) { return cub::DeviceReduce::Sum(w, b, source.get(), count.get(), n); });
    corpus::exact("cub_reduce", count.values(), {std::accumulate(in.begin(), in.end(), 0u)});
    run([&](void* w, std::size_t& b) { return cub::DeviceScan::InclusiveSum(w, b, source.get(), out.get(), n); });
    std::vector<u32> wanted(n);
    std::partial_sum(in.begin(), in.end(), wanted.begin());
    corpus::exact("cub_scan", out.values(), wanted);
    run([&](void* w, std::size_t& b) {
      return cub::DeviceSelect::If(w, b, source.get(), out.get(), count.get(), n, Odd{});
    });
    wanted.clear();
    std::copy_if(in.begin(), in.end(), std::back_inserter(wanted), Odd{});
    auto got = out.values();
    got.resize(count.values()[0]);
    corpus::exact("cub_select_if", got, wanted);
  }
  {
    corpus::Buffer<int> bins(32);
    run([&](void* w, std::size_t& b) {
      return cub::DeviceHistogram::HistogramEven(w, b, source.get(), bins.get(), 33, 0u, 0x80000000u, n);
    });
    std::vector<int> wanted(32);
    for (u32 v : in)
      if (v < 0x80000000u) ++wanted[v >> 26];
    corpus::exact("cub_histogram", bins.values(), wanted);
    const std::vector<int> offsets{0, 7, 7, 1500, 4000, n};
    const corpus::Buffer<int> device_offsets(offsets);
    corpus::Buffer<u32> sums(5);
    run([&](void* w, std::size_t& b) {
      return cub::DeviceSegmentedReduce::Sum(w, b, source.get(), sums.get(), 5, device_offsets.get(),
                                             device_offsets.get() + 1);
    });
    std::vector<u32> totals(5);
    for (int s = 0; s < 5; ++s) totals[s] = std::accumulate(in.begin() + offsets[s], in.begin() + offsets[s + 1], 0u);
    corpus::exact("cub_segmented_reduce", sums.values(), totals);
  }
  {
    corpus::Buffer<u32> out(641);
    block_primitives<<<1, 128>>>(source, out);
    std::vector<u32> wanted(in.begin(), in.begin() + 512);
    std::sort(wanted.begin(), wanted.end());
    const u32 most = wanted[511];
    u32 sum = 0;
    for (int i = 0; i < 128; ++i) wanted.push_back(sum), sum += wanted[i * 4];
    wanted.push_back(most);
    corpus::exact("cub_block", out.values(), wanted);
  }
  {
    corpus::Buffer<u32> out(68);
    warp_primitives<<<1, 64>>>(source, out);
    std::vector<u32> wanted(68);
    for (int i = 0; i < 64; ++i) wanted[i] = in[i] + (i % 32 ? wanted[i - 1] : 0), wanted[64 + i / 16] += in[i];
    corpus::exact("cub_warp", out.values(), wanted);
  }
  std::printf("cub: ok\n");
}
