#pragma once
#include <catch2/catch.hpp>
#include <string>

#include "machine_fixture.hpp"

/// What nvcc made of kernels/*.cu: level is O0, O3 or G.
namespace vgpu::softgpu::ptx::test {

inline Loaded load(const std::string& file, const std::string& level) {
  const std::string text = read_file(std::string(VGPU_PTX_DIR) + "/" + file + "." + level + ".ptx");
  Loaded loaded(text);
  INFO(loaded.diagnostic().message << " line " << loaded.diagnostic().line << " " << loaded.diagnostic().function);
  REQUIRE(loaded.good());
  return loaded;
}

inline void require_good(const Outcome& outcome) {
  INFO(outcome.detail << " line " << outcome.line);
  REQUIRE(outcome.fault == Fault::none);
}

}  // namespace vgpu::softgpu::ptx::test
