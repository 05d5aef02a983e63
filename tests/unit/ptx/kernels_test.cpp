#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "kernels_fixture.hpp"

/// Kernels that nvcc compiled at build time, at each optimisation level.
namespace vgpu::softgpu::ptx::test {

TEST_CASE("vector add", "[kernels]") {
  const Loaded loaded = load("basic", GENERATE("O3", "O0", "G"));
  constexpr int kCount = 1000;
  const Memory a(kCount * 4);
  const Memory b(kCount * 4);
  const Memory c(kCount * 4);
  for (int i = 0; i < kCount; ++i) {
    a.as<float>()[i] = static_cast<float>(i);
    b.as<float>()[i] = 0.5f * static_cast<float>(i);
  }
  require_good(run(loaded, "vector_add", {8, 1, 1}, {128, 1, 1},
                   Arguments().add(a.address()).add(b.address()).add(c.address()).add(kCount)));
  for (int i = 0; i < kCount; ++i) REQUIRE(c.as<float>()[i] == 1.5f * static_cast<float>(i));
}

TEST_CASE("matrix product in tiles of shared memory", "[kernels]") {
  const Loaded loaded = load("basic", GENERATE("O3", "O0", "G"));
  constexpr int kSize = 37;
  const Memory a(kSize * kSize * 4);
  const Memory b(kSize * kSize * 4);
  const Memory c(kSize * kSize * 4);
  for (int i = 0; i < kSize * kSize; ++i) {
    a.as<float>()[i] = static_cast<float>(i % 11 - 5);
    b.as<float>()[i] = static_cast<float>(i % 7 - 3);
  }
  REQUIRE(loaded.module().kernels()[loaded.kernel("matrix_product")].static_shared_bytes == 16 * 16 * 4 + 16 * 17 * 4);
  require_good(run(loaded, "matrix_product", {3, 3, 1}, {16, 16, 1},
                   Arguments().add(a.address()).add(b.address()).add(c.address()).add(kSize)));
  for (int row = 0; row < kSize; ++row) {
    for (int column = 0; column < kSize; ++column) {
      float sum = 0;
      for (int k = 0; k < kSize; ++k) sum += a.as<float>()[row * kSize + k] * b.as<float>()[k * kSize + column];
      REQUIRE(c.as<float>()[row * kSize + column] == sum);
    }
  }
}

TEST_CASE("reduction with shuffles and atomics", "[kernels]") {
  const Loaded loaded = load("basic", GENERATE("O3", "O0", "G"));
  constexpr int kCount = 10007;
  const Memory values(kCount * 4);
  const Memory total(4);
  std::iota(values.as<int>(), values.as<int>() + kCount, -50);
  require_good(run(loaded, "reduce", {7, 1, 1}, {192, 1, 1},
                   Arguments().add(values.address()).add(kCount).add(total.address())));
  REQUIRE(*total.as<int>() == std::accumulate(values.as<int>(), values.as<int>() + kCount, 0));
}

TEST_CASE("histogram in dynamic shared memory", "[kernels]") {
  const Loaded loaded = load("basic", GENERATE("O3", "O0", "G"));
  constexpr int kCount = 5000;
  const Memory bytes(kCount);
  const Memory bins(1024);
  unsigned expected[256] = {};
  for (int i = 0; i < kCount; ++i) {
    bytes.as<unsigned char>()[i] = static_cast<unsigned char>(i * i + i / 3);
    ++expected[bytes.as<unsigned char>()[i]];
  }
  require_good(run(loaded, "histogram", {4, 1, 1}, {96, 1, 1},
                   Arguments().add(bytes.address()).add(kCount).add(bins.address()), 1024));
  for (int i = 0; i < 256; ++i) REQUIRE(bins.as<unsigned>()[i] == expected[i]);
}

TEST_CASE("recursion", "[kernels]") {
  const Loaded loaded = load("basic", GENERATE("O3", "O0", "G"));
  const Memory out(64 * 4);
  require_good(run(loaded, "recursion", {1, 1, 1}, {64, 1, 1}, Arguments().add(out.address())));
  for (int i = 0; i < 64; ++i) {
    int a = 0;
    int b = 1;
    for (int k = 0; k < i % 15; ++k) {
      const int next = a + b;
      a = b;
      b = next;
    }
    REQUIRE(out.as<int>()[i] == a);
  }
}

TEST_CASE("calls through function pointers", "[kernels]") {
  const Loaded loaded = load("basic", GENERATE("O3", "O0", "G"));
  const Memory out(64 * 4);
  require_good(run(loaded, "function_pointers", {1, 1, 1}, {64, 1, 1}, Arguments().add(out.address())));
  for (int i = 0; i < 64; ++i) REQUIRE(out.as<int>()[i] == (i % 3 == 0 ? i + 1 : i % 3 == 1 ? 2 * i : -i));
}

TEST_CASE("printf writes to stdout", "[kernels]") {
  const Loaded loaded = load("basic", GENERATE("O3", "O0", "G"));
  char path[] = "/tmp/ptx_print_XXXXXX";
  const int file = mkstemp(path);
  REQUIRE(file >= 0);
  std::fflush(stdout);
  const int before = dup(1);
  dup2(file, 1);
  const Outcome outcome =
      run(loaded, "print", {1, 1, 1}, {32, 1, 1}, Arguments().add(-7).add(2.5).add(0x123456789abcULL));
  std::fflush(stdout);
  dup2(before, 1);
  close(before);
  close(file);
  const std::string text = read_file(path);
  unlink(path);
  require_good(outcome);
  REQUIRE(text == "thread 0: -7  2.50 123456789abc even x %\nthread 1: -7  2.50 123456789abc odd x %\n");
}

TEST_CASE("structures by value", "[kernels]") {
  const Loaded loaded = load("basic", GENERATE("O3", "O0", "G"));
  struct Big {
    int words[20];
  } given;
  int given_sum = 0;
  for (int i = 0; i < 20; ++i) given_sum += given.words[i] = 100 + i;
  const Memory out(32 * 4);
  require_good(run(loaded, "structures", {1, 1, 1}, {32, 1, 1}, Arguments().add(given).add(out.address())));
  for (int lane = 0; lane < 32; ++lane) {
    int sum = given_sum + 100 + lane % 20;
    for (int i = lane % 20; i < 20; ++i) sum += lane * i;
    REQUIRE(out.as<int>()[lane] == sum);
  }
}

TEST_CASE("constants, globals and addresses in initial values", "[kernels]") {
  const Loaded loaded = load("basic", GENERATE("O3", "O0", "G"));
  const double matrix[2][3] = {{1, 2, 0}, {4, 5, 6}};
  const Memory out(32 * 8);
  require_good(run(loaded, "variables", {1, 1, 1}, {32, 1, 1}, Arguments().add(out.address())));
  for (int i = 0; i < 32; ++i) REQUIRE(out.as<double>()[i] == (i % 4 + 1) * 10 + 6 + matrix[i % 2][i % 3]);
  REQUIRE(*reinterpret_cast<int*>(loaded.variable("global_counter")) == 6);
}

}  // namespace vgpu::softgpu::ptx::test
