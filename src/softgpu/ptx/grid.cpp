#include "softgpu/ptx/machine.hpp"
#include "softgpu/ptx/parser.hpp"

namespace vgpu::softgpu::ptx {

Outcome open_grid(const Launch& launch, Grid& grid) {
  const auto& program = static_cast<const Program&>(*launch.module);
  const auto refuse = [&](Fault fault, std::string detail) {
    Outcome outcome;
    outcome.fault = fault;
    if (launch.kernel < program.kernel_list.size()) outcome.kernel = program.kernel_list[launch.kernel].name;
    outcome.detail = std::move(detail);
    return outcome;
  };
  if (launch.kernel >= program.kernel_functions.size()) return refuse(Fault::illegal_instruction, "no such kernel");
  if (const Diagnostic* broken = program.broken(launch.kernel)) {
    Outcome outcome = refuse(Fault::illegal_instruction, broken->message + " in '" + broken->instruction + "'");
    outcome.line = broken->line;
    return outcome;
  }
  const KernelInfo& info = program.kernel_list[launch.kernel];
  const std::uint64_t threads = std::uint64_t{launch.block.x} * launch.block.y * launch.block.z;
  if (threads == 0 || launch.block.x > 1024 || launch.block.y > 1024 || launch.block.z > 64 || threads > 1024 ||
      launch.grid.x == 0 || launch.grid.y == 0 || launch.grid.z == 0 || launch.grid.x > 0x7fffffffu ||
      launch.grid.y > 65535 || launch.grid.z > 65535) {
    return refuse(Fault::trap, "the size of the grid or of its blocks is out of range");
  }
  if (launch.parameters.size() < info.parameter_bytes) return refuse(Fault::trap, "the parameters are too short");
  const std::uint64_t shared = (std::uint64_t{info.static_shared_bytes} + 15) / 16 * 16 + launch.dynamic_shared_bytes;
  if (shared > kMaxSharedBytes) return refuse(Fault::trap, "too much shared memory");
  grid.program = &program;
  grid.function = &program.functions[program.kernel_functions[launch.kernel]];
  grid.launch = &launch;
  grid.blocks = std::uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z;
  grid.threads = static_cast<std::uint32_t>(threads);
  grid.warps = static_cast<std::uint32_t>((threads + kLanes - 1) / kLanes);
  grid.static_shared = info.static_shared_bytes;
  grid.shared_bytes = launch.dynamic_shared_bytes == 0 ? info.static_shared_bytes : static_cast<std::uint32_t>(shared);
  grid.reserved_shared = grid.function->uses_reserved_shared ? kReservedShared : 0;
  return {};
}

}  // namespace vgpu::softgpu::ptx
