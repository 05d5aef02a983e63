// Thrust from the toolkit, against the standard library.
#include <thrust/binary_search.h>
#include <thrust/copy.h>
#include <thrust/device_vector.h>
#include <thrust/functional.h>
#include <thrust/merge.h>
#include <thrust/partition.h>
#include <thrust/reduce.h>
#include <thrust/scan.h>
#include <thrust/set_operations.h>
#include <thrust/sort.h>
#include <thrust/transform_reduce.h>
#include <thrust/unique.h>

#include <numeric>

#include "corpus.hpp"

using u32 = unsigned;

namespace {

template <class T>
std::vector<T> host(const thrust::device_vector<T>& device, std::size_t count) {
  std::vector<T> values(count);
  thrust::copy(device.begin(), device.begin() + static_cast<std::ptrdiff_t>(count), values.begin());
  return values;
}

struct Even {
  __host__ __device__ bool operator()(u32 x) const { return x % 2 == 0; }
};
struct Square {
  __host__ __device__ unsigned long long operator()(u32 x) const { return static_cast<unsigned long long>(x) * x; }
};
struct ByLowBits {
  __host__ __device__ bool operator()(u32 a, u32 b) const { return a % 16 < b % 16; }
};

}  // namespace

int main() {
  constexpr std::size_t n = 5000;
  auto in = corpus::any_bits<u32>(n);
  for (u32& value : in) value %= 1000;
  const thrust::device_vector<u32> source(in.begin(), in.end());
  auto sorted = in;
  std::sort(sorted.begin(), sorted.end());
  thrust::device_vector<u32> data = source;
  thrust::sort(data.begin(), data.end());
  corpus::exact("thrust_sort", host(data, n), sorted);
  {
    thrust::device_vector<u32> out(n);
    const auto end = thrust::unique_copy(data.begin(), data.end(), out.begin());
    auto wanted = sorted;
    wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
    corpus::exact("thrust_unique", host(out, static_cast<std::size_t>(end - out.begin())), wanted);
    thrust::device_vector<u32> places(n);
    thrust::lower_bound(data.begin(), data.end(), source.begin(), source.end(), places.begin());
    for (std::size_t i = 0; i < n; ++i)
      wanted.resize(n),
          wanted[i] = static_cast<u32>(std::lower_bound(sorted.begin(), sorted.end(), in[i]) - sorted.begin());
    corpus::exact("thrust_lower_bound", host(places, n), wanted);
  }
  {
    data = source;
    thrust::stable_sort(data.begin(), data.end(), ByLowBits{});
    auto wanted = in;
    std::stable_sort(wanted.begin(), wanted.end(), ByLowBits{});
    corpus::exact("thrust_stable_sort", host(data, n), wanted);
  }
  {
    data = source;
    thrust::device_vector<u32> values(n);
    thrust::sequence(values.begin(), values.end());
    thrust::sort_by_key(data.begin(), data.end(), values.begin());
    std::vector<u32> wanted(n);
    std::iota(wanted.begin(), wanted.end(), 0u);
    std::stable_sort(wanted.begin(), wanted.end(), [&](u32 a, u32 b) { return in[a] < in[b]; });
    corpus::exact("thrust_sort_by_key", host(values, n), wanted);
    thrust::device_vector<u32> keys(n), sums(n);
    const auto ends = thrust::reduce_by_key(data.begin(), data.end(), values.begin(), keys.begin(), sums.begin());
    std::vector<u32> totals;
    for (std::size_t i = 0; i < n; ++i) {
      if (i == 0 || sorted[i] != sorted[i - 1]) totals.push_back(0);
      totals.back() += wanted[i];
    }
    corpus::exact("thrust_reduce_by_key", host(sums, static_cast<std::size_t>(ends.second - sums.begin())), totals);
  }
  {
    corpus::exact("thrust_reduce",
                  std::vector<u32>{thrust::reduce(source.begin(), source.end()),
                                   *thrust::max_element(source.begin(), source.end())},
                  {std::accumulate(in.begin(), in.end(), 0u), sorted.back()});
    const auto squares =
        thrust::transform_reduce(source.begin(), source.end(), Square{}, 0ull, thrust::plus<unsigned long long>());
    unsigned long long wanted = 0;
    for (u32 x : in) wanted += Square{}(x);
    corpus::exact("thrust_transform_reduce", std::vector<unsigned long long>{squares}, {wanted});
  }
  {
    thrust::inclusive_scan(source.begin(), source.end(), data.begin());
    std::vector<u32> wanted(n);
    std::partial_sum(in.begin(), in.end(), wanted.begin());
    corpus::exact("thrust_inclusive_scan", host(data, n), wanted);
    thrust::exclusive_scan(source.begin(), source.end(), data.begin(), 5u);
    for (std::size_t i = n; i-- > 0;) wanted[i] = 5 + (i == 0 ? 0 : wanted[i - 1]);
    corpus::exact("thrust_exclusive_scan", host(data, n), wanted);
  }
  {
    data = source;
    thrust::stable_partition(data.begin(), data.end(), Even{});
    auto wanted = in;
    std::stable_partition(wanted.begin(), wanted.end(), Even{});
    corpus::exact("thrust_partition", host(data, n), wanted);
    const auto end = thrust::copy_if(source.begin(), source.end(), data.begin(), Even{});
    wanted.clear();
    std::copy_if(in.begin(), in.end(), std::back_inserter(wanted), Even{});
    corpus::exact("thrust_copy_if", host(data, static_cast<std::size_t>(end - data.begin())), wanted);
  }
  {
    thrust::device_vector<u32> a(sorted.begin(), sorted.begin() + 2000),
        b(sorted.begin() + 1000, sorted.begin() + 3000), out(4000);
    std::vector<u32> wanted(4000);
    thrust::merge(a.begin(), a.end(), b.begin(), b.end(), out.begin());
    std::merge(sorted.begin(), sorted.begin() + 2000, sorted.begin() + 1000, sorted.begin() + 3000, wanted.begin());
    corpus::exact("thrust_merge", host(out, 4000), wanted);
  }
  std::printf("thrust: ok\n");
}
