#include <algorithm>
#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "kernels_fixture.hpp"

/// Divergence, waiting, and the CUDA math library.
namespace vgpu::softgpu::ptx::test {
namespace {

/// The kernel "divergence", for one thread.
int walk(int lane, int rounds) {
  int x = lane;
  for (int i = 0; i < rounds; ++i) {
    if ((x & 1) == 0) {
      x = x / 2;
      if (x % 5 == 3) continue;
    } else {
      x = 3 * x + 1;
      for (int k = 0; k < lane % 4; ++k) {
        x += k;
        if (x % 7 == 0) break;
      }
    }
    switch ((x + lane) % 6) {
      case 0:
        x += 1;
        break;
      case 1:
        x ^= lane;
        break;
      case 2:
        x -= 2;
        [[fallthrough]];
      case 3:
        x += std::popcount(static_cast<unsigned>(x));
        break;
      case 4:
        if (lane > 20 && i > 5) return x;
        break;
      default:
        x = x < 0 ? -x : x;
        break;
    }
    x &= 0xffff;
  }
  return x;
}

}  // namespace

TEST_CASE("divergence", "[kernels]") {
  const Loaded loaded = load("basic", GENERATE("O3", "O0", "G"));
  constexpr int kThreads = 80;
  const Memory out((kThreads + 1) * 4);
  require_good(run(loaded, "divergence", {1, 1, 1}, {kThreads, 1, 1}, Arguments().add(out.address()).add(40)));
  int sum = 0;
  for (int i = 0; i < kThreads; ++i) {
    const int x = walk(i, 40);
    INFO(i);
    REQUIRE(out.as<int>()[i] == x);
    if (i % 13 != 12) sum += x;
  }
  REQUIRE(out.as<int>()[kThreads] == sum);
}

TEST_CASE("lanes of one warp take a lock in turn", "[kernels]") {
  const Loaded loaded = load("basic", GENERATE("O3", "O0", "G"));
  const char* kernel = GENERATE("warp_lock", "warp_lock_spin");
  const Memory counter(4);
  Launch launch;
  require_good(run(loaded, kernel, {4, 1, 1}, {64, 1, 1}, Arguments().add(counter.address())));
  REQUIRE(*counter.as<int>() == 256);
}

TEST_CASE("a warp waits on shared memory for another", "[kernels]") {
  const Loaded loaded = load("basic", GENERATE("O3", "O0", "G"));
  const Memory out(32 * 4);
  require_good(run(loaded, "warp_waits", {1, 1, 1}, {64, 1, 1}, Arguments().add(out.address())));
  for (int i = 0; i < 32; ++i) REQUIRE(out.as<int>()[i] == 7);
}

TEST_CASE("exchange among parts of a warp", "[kernels]") {
  const Loaded loaded = load("basic", GENERATE("O3", "O0", "G"));
  const Memory out(64 * 4);
  require_good(run(loaded, "partial_masks", {1, 1, 1}, {64, 1, 1}, Arguments().add(out.address())));
  for (int i = 0; i < 64; ++i) {
    const int lane = i % 32;
    int value = lane < 16 ? (lane ^ 1) + (lane < 8 ? 28 : 0) : lane + 5;
    value += 4 + 1000;
    INFO(i);
    REQUIRE(out.as<int>()[i] == value);
  }
}

TEST_CASE("threads that return early are not waited for", "[kernels]") {
  const Loaded loaded = load("basic", GENERATE("O3", "O0", "G"));
  const Memory out(40 * 4);
  require_good(run(loaded, "early_exit", {1, 1, 1}, {128, 1, 1}, Arguments().add(out.address())));
  for (int i = 0; i < 40; ++i) REQUIRE(out.as<int>()[i] == 40);
}

TEST_CASE("blocks of a cooperative launch wait for each other", "[kernels]") {
  const Loaded loaded = load("grid", GENERATE("O3", "O0", "G"));
  constexpr unsigned kBlocks = 24;
  const Memory cells(kBlocks * 4);
  const Memory out(kBlocks * 4);
  REQUIRE(loaded.module().kernels()[loaded.kernel("grid_sync")].uses_grid_sync);
  require_good(run(loaded, "grid_sync", {kBlocks, 1, 1}, {64, 1, 1},
                   Arguments().add(cells.address()).add(out.address()), 0, true));
  for (unsigned i = 0; i < kBlocks; ++i) REQUIRE(out.as<int>()[i] == kBlocks * (kBlocks + 1) / 2);
}

TEST_CASE("tiles of cooperative groups", "[kernels]") {
  const Loaded loaded = load("grid", GENERATE("O3", "O0", "G"));
  const Memory out(64 * 4);
  require_good(run(loaded, "tiles", {1, 1, 1}, {64, 1, 1}, Arguments().add(out.address())));
  for (int i = 0; i < 64; i += 8) REQUIRE(out.as<int>()[i] == 8 * i + 28);
  REQUIRE(out.as<int>()[1] == 32);
}

TEST_CASE("the math library in double", "[kernels]") {
  const Loaded loaded = load("math", GENERATE("O3", "O0", "G"));
  const double inputs[] = {0.1, 0.5, 1.0, 1.5, 2.75, 10.0, 123.456, 1e-3, 3e5, 7.25};
  constexpr int kCount = std::size(inputs);
  const Memory in(sizeof inputs);
  const Memory out(kCount * 12 * 8);
  std::copy_n(inputs, kCount, in.as<double>());
  require_good(
      run(loaded, "double_math", {1, 1, 1}, {32, 1, 1}, Arguments().add(in.address()).add(out.address()).add(kCount)));
  for (int i = 0; i < kCount; ++i) {
    const double x = inputs[i];
    const double expected[12] = {std::sqrt(x),         std::exp(-x),
                                 std::log(x),          std::sin(x),
                                 std::cos(x),          std::pow(x, 1.7),
                                 std::tanh(x),         1 / x,
                                 std::fma(x, x, -1.0), std::floor(x) + std::ceil(x) + std::rint(x) + std::trunc(x),
                                 std::atan2(x, 2.0),   std::fmod(x, 0.3) + std::cbrt(x)};
    for (int k = 0; k < 12; ++k) {
      INFO("function " << k << " of " << x);
      REQUIRE(out.as<double>()[12 * i + k] == Approx(expected[k]).epsilon(1e-14).margin(1e-300));
    }
    REQUIRE(out.as<double>()[12 * i] == expected[0]);
    REQUIRE(out.as<double>()[12 * i + 7] == expected[7]);
    REQUIRE(out.as<double>()[12 * i + 8] == expected[8]);
  }
}

TEST_CASE("the math library in float", "[kernels]") {
  const Loaded loaded = load("math", GENERATE("O3", "O0", "G"));
  const float inputs[] = {0.1f, 0.5f, 1.0f, 1.5f, 2.75f, 10.0f, 50.5f, 1e-3f, 300.0f, 7.25f};
  constexpr int kCount = std::size(inputs);
  const Memory in(sizeof inputs);
  const Memory out(kCount * 10 * 4);
  std::copy_n(inputs, kCount, in.as<float>());
  require_good(
      run(loaded, "float_math", {1, 1, 1}, {32, 1, 1}, Arguments().add(in.address()).add(out.address()).add(kCount)));
  for (int i = 0; i < kCount; ++i) {
    const float x = inputs[i];
    const double wide = static_cast<double>(x);
    const double expected[10] = {std::sqrt(wide), std::exp(-wide),
                                 std::log(wide),  std::sin(static_cast<double>(x * 1000.0f)),
                                 std::cos(wide),  std::pow(wide, 1.7),
                                 std::tanh(wide), 1 / wide,
                                 std::erf(wide),  wide / 3 + 1 / std::sqrt(wide)};
    for (int k = 0; k < 10; ++k) {
      INFO("function " << k << " of " << x);
      REQUIRE(static_cast<double>(out.as<float>()[10 * i + k]) == Approx(expected[k]).epsilon(1e-6).margin(1e-7));
    }
  }
}

TEST_CASE("integer division and bit counting of 64 bits", "[kernels]") {
  const Loaded loaded = load("math", GENERATE("O3", "O0", "G"));
  const long long inputs[] = {1, -1, 123456789012345, -987654321098765, 7, -13, 0, 1LL << 62};
  constexpr int kCount = std::size(inputs);
  const Memory in(sizeof inputs);
  const Memory out(kCount * 6 * 8);
  std::copy_n(inputs, kCount, in.as<long long>());
  require_good(
      run(loaded, "integer_math", {1, 1, 1}, {32, 1, 1}, Arguments().add(in.address()).add(out.address()).add(kCount)));
  for (int i = 0; i < kCount; ++i) {
    const long long x = inputs[i];
    const long long y = inputs[(i + 1) % kCount];
    const auto ux = static_cast<unsigned long long>(x);
    const auto uy = static_cast<unsigned long long>(y);
    const long long* got = out.as<long long>() + 6 * i;
    INFO(i);
    REQUIRE(got[0] == x / (y | 1));
    REQUIRE(got[1] == x % (y | 1));
    __extension__ using Big = __int128;
    REQUIRE(got[2] == static_cast<long long>((static_cast<Big>(x) * y) >> 64));
    REQUIRE(got[3] == static_cast<long long>(ux / (uy | 1)));
    unsigned reversed = 0;
    for (unsigned k = 0; k < 32; ++k) reversed |= (static_cast<unsigned>(x) >> k & 1) << (31 - k);
    const int counts = std::popcount(ux) + std::countl_zero(ux) + (uy == 0 ? 0 : std::countr_zero(uy) + 1);
    REQUIRE(got[4] == static_cast<long long>(static_cast<unsigned>(counts) + reversed));
    REQUIRE(got[5] ==
            static_cast<int>(x) / 7 + static_cast<int>(y) % 13 + static_cast<long long>(static_cast<double>(x) * 0.5));
  }
}

TEST_CASE("half precision", "[kernels]") {
  const Loaded loaded = load("half", GENERATE("O3", "O0", "G"));
  const float inputs[] = {0.5f, 1.25f, -2.0f, 0.125f};
  const Memory in(sizeof inputs);
  const Memory out(4 * 6 * 4);
  std::copy_n(inputs, 4, in.as<float>());
  require_good(
      run(loaded, "half_math", {1, 1, 1}, {32, 1, 1}, Arguments().add(in.address()).add(out.address()).add(4)));
  for (int i = 0; i < 4; ++i) {
    const float a = inputs[i];
    const float b = inputs[(i + 1) % 4];
    const float* got = out.as<float>() + 6 * i;
    REQUIRE(got[0] == a + b);
    REQUIRE(got[1] == a * b);
    REQUIRE(got[2] == a * a + 0.5f);
    REQUIRE(got[3] == b * b + 0.5f);
    REQUIRE(got[4] == a * 3);
    REQUIRE(got[5] == Approx(a < b ? 1.0f : std::sqrt(std::fabs(a))).epsilon(0.001));
  }
}

}  // namespace vgpu::softgpu::ptx::test
