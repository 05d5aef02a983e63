// Arbitrary texts to the PTX compiler: each is refused with a place, or compiles. What compiles is linked, and each of
// its kernels runs for a bounded while on one block, with a device memory of a few KiB: whatever the decoder lets
// through must stay inside of the interpreter's own bounds.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <variant>
#include <vector>

#include "softgpu/address_map.hpp"
#include "softgpu/ptx/machine.hpp"
#include "softgpu/ptx/ptx.hpp"

using namespace vgpu::softgpu;

namespace {

constexpr std::size_t kMemoryBytes = 64 << 10;
constexpr std::size_t kMostVariableBytes = 1 << 20;
constexpr std::uint32_t kSlices = 16;
constexpr std::uint32_t kSliceInstructions = 256;

/// Device memory that all runs share.
struct World {
  World() : memory(static_cast<std::byte*>(std::aligned_alloc(4096, kMemoryBytes))) {
    if (!map.add_host(address(), kMemoryBytes)) std::abort();
  }
  std::uint64_t address() const { return reinterpret_cast<std::uint64_t>(memory); }
  AddressMap map;
  std::byte* memory;
};

void check(const ptx::Diagnostic& diagnostic) {
  if (diagnostic.message.empty() || diagnostic.line == 0 || diagnostic.column == 0) std::abort();
}

/// False: too much to give it memory.
bool link(ptx::Module& module, std::vector<std::vector<std::byte>>& storage) {
  std::size_t bytes = 0;
  for (const ptx::Variable& variable : module.variables()) {
    if (variable.bytes > kMostVariableBytes || (bytes += variable.bytes) > kMostVariableBytes) return false;
  }
  std::vector<std::uint64_t> addresses;
  for (const ptx::Variable& variable : module.variables()) {
    storage.emplace_back(variable.bytes + variable.align + 8);
    const auto at = reinterpret_cast<std::uint64_t>(storage.back().data());
    addresses.push_back((at + variable.align - 1) / variable.align * variable.align);
  }
  module.link(addresses);
  return true;
}

void run(World& world, const ptx::Module& module, std::uint32_t kernel) {
  const ptx::KernelInfo& info = module.kernels()[kernel];
  std::vector<std::byte> parameters(info.parameter_bytes + 8);
  for (std::size_t i = 0; i + 8 <= parameters.size(); i += 8) {
    const std::uint64_t value = world.address() + (i % 64) * 8;
    std::memcpy(parameters.data() + i, &value, sizeof value);
  }
  ptx::Launch launch;
  launch.module = &module;
  launch.kernel = kernel;
  launch.block = {std::min(48u, info.max_threads_per_block), 1, 1};
  launch.dynamic_shared_bytes = 256;
  launch.cooperative = true;
  launch.parameters = parameters;
  launch.memory = &world.map;
  ptx::Grid grid;
  if (ptx::open_grid(launch, grid).fault != ptx::Fault::none) return;
  grid.id = 1;
  ptx::Block block;
  block.start(grid, 0, 0);
  for (std::uint32_t i = 0; i < kSlices && block.run(kSliceInstructions) == ptx::Block::Status::running; ++i) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  // What kernels print is of no interest here.
  if (std::freopen("/dev/null", "w", stdout) == nullptr) std::abort();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static World world;
  const auto result = ptx::compile({reinterpret_cast<const char*>(data), size});
  if (const auto* diagnostic = std::get_if<ptx::Diagnostic>(&result)) {
    check(*diagnostic);
    return 0;
  }
  const auto& module = std::get<std::unique_ptr<ptx::Module>>(result);
  for (std::uint32_t i = 0; i < module->kernels().size(); ++i) {
    if (const ptx::Diagnostic* broken = module->broken(i)) check(*broken);
  }
  std::vector<std::vector<std::byte>> storage;
  if (!link(*module, storage)) return 0;
  for (std::uint32_t i = 0; i < module->kernels().size(); ++i) {
    if (module->broken(i) == nullptr) run(world, *module, i);
  }
  return 0;
}
