#pragma once
#include "softgpu/ptx/builder.hpp"
#include "softgpu/ptx/lanes.hpp"
#include "softgpu/ptx/texture.hpp"

/// What texture and surface instructions share: more operands than an instruction holds, and the look-up of handles.
namespace vgpu::softgpu::ptx {

/// The operands of one instruction; Insn::imm is its address. Lives as long as its function.
struct ImageAccess {
  enum class Boundary : std::uint8_t { trap, clamp, zero };
  enum class Levels : std::uint8_t { none, level, gradient };
  ImageShape shape = ImageShape::d2;
  Ref handle = kNoRef;
  Ref values[4] = {kNoRef, kNoRef, kNoRef, kNoRef};  ///< results, or what is stored
  unsigned count = 4;                                ///< of values
  Ref coordinates[3] = {kNoRef, kNoRef, kNoRef};
  Ref layer = kNoRef;
  bool integer = false;  ///< coordinates are integers
  Levels levels = Levels::none;
  Ref level[7] = {kNoRef, kNoRef, kNoRef, kNoRef, kNoRef, kNoRef, kNoRef};  ///< the level, or 2 * axes gradients
  unsigned component = 0;                                                   ///< of tld4
  Boundary boundary = Boundary::trap;
  std::uint32_t element_bytes = 4;  ///< of a surface access
  Type type = Type::b32;
  Ref resident = kNoRef;  ///< a predicate: always true
};

inline const ImageAccess& image_access(const Insn& in) noexcept {
  return *reinterpret_cast<const ImageAccess*>(in.imm);  // NOLINT: the function holds it
}

/// Parts of "[handle, {coordinates}]": the shape is taken from the modifiers.
void take_shape(Builder& b, Words& w, ImageAccess& access);
void take_image_operand(Builder& b, const ast::Operand& operand, ImageAccess& access, bool surface);
/// Appends an instruction that owns the access.
void emit_image(Builder& b, Handler run, ImageAccess access);

/// Calls f(lane, resource) for each lane; handles are looked up once for neighbours that have the same. A handle that
/// names nothing is a fault, and so is f's answer false (it has raised it).
template <class Find, class F>
void each_image(Warp& w, const ImageAccess& access, u32 mask, Find find, F f) {
  const u64* handles = slots<u64>(w, access.handle);
  const ResourceTable* table = w.block->grid->launch->resources;
  decltype(find(*table, u64{})) resource;
  u64 known = 0;
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const auto lane = static_cast<u32>(std::countr_zero(rest));
    if (resource == nullptr || handles[lane] != known) {
      known = handles[lane];
      resource = table == nullptr ? nullptr : find(*table, known);
      if (resource == nullptr) {
        w.raise(Fault::illegal_address, lane, known, "a handle that names no texture or surface");
        return;
      }
    }
    if (!f(lane, *resource)) return;
  }
}

}  // namespace vgpu::softgpu::ptx
