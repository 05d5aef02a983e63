#include "softgpu/ptx/machine.hpp"

namespace vgpu::softgpu::ptx {

std::byte* resolve(Warp& w, std::uint32_t lane, std::uint64_t address, std::uint32_t bytes, bool writable) noexcept {
  Grid& grid = *w.block->grid;
  if (address < kSharedWindow) {
    const AddressMap* map = grid.launch->memory;
    if (map == nullptr || !map->contains(address, bytes)) return nullptr;
    return reinterpret_cast<std::byte*>(address);  // NOLINT: device addresses are addresses of this process
  }
  const auto offset = static_cast<std::uint32_t>(address);
  const auto inside = [&](std::size_t size) { return offset <= size && bytes <= size - offset; };
  switch ((address - kSharedWindow) >> 32) {
    case 0:
      return inside(w.block->shared.size()) ? w.block->shared.data() + offset : nullptr;
    case 1:
      return inside(w.local_stride) ? w.local_of(lane) + offset : nullptr;
    case 2: {
      const auto parameters = grid.launch->parameters;
      if (writable || !inside(parameters.size())) return nullptr;
      return const_cast<std::byte*>(parameters.data()) + offset;
    }
    case 3:
      return grid.launch->cooperative && inside(grid.workspace.size()) ? grid.workspace.data() + offset : nullptr;
    default:
      return nullptr;
  }
}

}  // namespace vgpu::softgpu::ptx
