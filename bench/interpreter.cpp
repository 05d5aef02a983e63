// vgpu-bench-ptx: how many instructions of a lane the software GPU's interpreter runs in a second on one core, by
// family.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "softgpu/address_map.hpp"
#include "softgpu/ptx/ptx.hpp"

namespace vgpu::bench {
namespace {

using namespace softgpu;

constexpr unsigned kThreads = 256;
constexpr unsigned kBlocks = 16;
constexpr std::size_t kBytes = std::size_t{kThreads} * kBlocks * 4;

struct Figure {
  double low, median, high;
};

/// Lane-instructions in a second, over the repetitions.
Figure measure(ptx::Pool& pool, const ptx::Module& module, std::uint32_t kernel, const AddressMap& map,
               std::uint64_t out, unsigned rounds, unsigned repetitions) {
  struct {
    std::uint64_t out;
    std::uint32_t rounds, unused;
  } parameters{out, rounds, 0};
  ptx::Launch launch;
  launch.module = &module;
  launch.kernel = kernel;
  launch.grid = {kBlocks, 1, 1};
  launch.block = {kThreads, 1, 1};
  launch.parameters = std::as_bytes(std::span(&parameters, 1));
  launch.memory = &map;
  std::vector<double> rates;
  for (unsigned i = 0; i < repetitions; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const ptx::Outcome outcome = pool.run(launch);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    if (outcome.fault != ptx::Fault::none)
      throw std::runtime_error(fmt::format("kernel {} failed: {}", outcome.kernel, outcome.detail));
    rates.push_back(static_cast<double>(outcome.lane_instructions) / taken.count());
  }
  std::sort(rates.begin(), rates.end());
  return {rates.front(), rates[rates.size() / 2], rates.back()};
}

std::unique_ptr<ptx::Module> load(const std::string& path) {
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  auto compiled = ptx::compile(text);
  if (const auto* diagnostic = std::get_if<ptx::Diagnostic>(&compiled))
    throw std::runtime_error(
        fmt::format("{}:{}:{}: {}", path, diagnostic->line, diagnostic->column, diagnostic->message));
  auto module = std::move(std::get<std::unique_ptr<ptx::Module>>(compiled));
  module->link({});
  return module;
}

int run(bool quick) {
  const auto module = load(VGPU_BENCH_PTX);
  const auto memory = std::unique_ptr<void, void (*)(void*)>(std::aligned_alloc(512, kBytes), std::free);
  std::memset(memory.get(), 0, kBytes);
  const auto out = reinterpret_cast<std::uint64_t>(memory.get());
  AddressMap map;
  if (!map.add_host(out, kBytes)) throw std::runtime_error("no room in the address map");
  const auto one = ptx::make_pool(1);
  const auto all = ptx::make_pool();
  const unsigned rounds = quick ? 64 : 4096;
  const unsigned repetitions = quick ? 3 : 9;
  fmt::print("Millions of lane-instructions in a second: median (lowest to highest of {})\n", repetitions);
  fmt::print("{:<12}{:>28}{:>28}\n", "kernel", "one core", "all cores");
  const auto text = [](const Figure& f) {
    return fmt::format("{:.0f} ({:.0f} to {:.0f})", f.median / 1e6, f.low / 1e6, f.high / 1e6);
  };
  const auto kernels = module->kernels();
  for (std::uint32_t i = 0; i < kernels.size(); ++i) {
    const Figure single = measure(*one, *module, i, map, out, rounds, repetitions);
    const Figure whole = measure(*all, *module, i, map, out, rounds, repetitions);
    fmt::print("{:<12}{:>28}{:>28}\n", kernels[i].name, text(single), text(whole));
  }
  return 0;
}

}  // namespace
}  // namespace vgpu::bench

int main(int argc, char** argv) {
  CLI::App app("Measures the software GPU's interpreter: lane-instructions in a second, by family of instructions");
  bool quick = false;
  app.add_flag("--quick", quick, "a short run, to see that it works");
  CLI11_PARSE(app, argc, argv);
  try {
    return vgpu::bench::run(quick);
  } catch (const std::exception& error) {
    fmt::print(stderr, "vgpu-bench-ptx: {}\n", error.what());
    return 1;
  }
}
