#include <catch2/catch.hpp>
#include <cmath>

#include "machine_fixture.hpp"

/// Kernels that nvcc compiled at build time, at each optimisation level.
namespace vgpu::softgpu::ptx::test {
namespace {

Loaded load(const char* file, const char* level) {
  const std::string text = read_file(std::string(VGPU_PTX_DIR) + "/" + file + "." + level + ".ptx");
  Loaded loaded(text);
  INFO(loaded.diagnostic().message << " line " << loaded.diagnostic().line << " " << loaded.diagnostic().function);
  REQUIRE(loaded.good());
  return loaded;
}

void require_good(const Outcome& outcome) {
  INFO(outcome.detail << " line " << outcome.line);
  REQUIRE(outcome.fault == Fault::none);
}

}  // namespace

TEST_CASE("vector add", "[kernels]") {
  const char* level = GENERATE("O3", "O0", "G");
  INFO(level);
  const Loaded loaded = load("basic", level);
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

}  // namespace vgpu::softgpu::ptx::test
