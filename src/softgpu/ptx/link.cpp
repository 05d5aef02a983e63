#include <cstring>

#include "softgpu/ptx/program.hpp"

namespace vgpu::softgpu::ptx {

void Program::link(std::span<const std::uint64_t> addresses) {
  for (std::size_t i = 0; i < variable_list.size() && i < addresses.size(); ++i)
    variable_list[i].address = addresses[i];
  for (std::size_t i = 0; i < variable_list.size(); ++i) {
    const Variable& variable = variable_list[i];
    if (variable.address == 0) continue;
    auto* bytes = reinterpret_cast<std::byte*>(variable.address);  // NOLINT: the caller gave memory of this process
    std::memset(bytes, 0, variable.bytes);
    for (const InitialPiece& piece : initial[i]) {
      if (piece.offset > variable.bytes || piece.bytes > variable.bytes - piece.offset) continue;
      std::uint64_t value = piece.value;
      if (piece.symbol == InitialPiece::Symbol::variable) value += variable_list[piece.index].address;
      if (piece.symbol == InitialPiece::Symbol::function) value += function_address(piece.index);
      value >>= piece.shift;
      std::memcpy(bytes + piece.offset, &value, piece.bytes < 8 ? piece.bytes : 8);
    }
  }
  for (Function& function : functions) {
    for (const Fixup& fixup : function.fixups) {
      if (fixup.kind != Fixup::Kind::variable || fixup.index >= variable_list.size()) continue;
      const std::uint64_t value = variable_list[fixup.index].address + fixup.addend;
      for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
        std::memcpy(function.constants.data() + fixup.offset + std::size_t{lane} * 8, &value, 8);
      }
    }
  }
}

}  // namespace vgpu::softgpu::ptx
