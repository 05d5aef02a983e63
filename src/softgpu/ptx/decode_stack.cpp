#include <algorithm>
#include <bit>

#include "softgpu/ptx/builder.hpp"
#include "softgpu/ptx/lanes.hpp"
#include "softgpu/ptx/parser.hpp"

/// alloca, stacksave, stackrestore (PTX ISA, "Stack Manipulation Instructions"). The lanes of a frame share the height
/// of its stack: each takes as much as the one that asks for the most.
namespace vgpu::softgpu::ptx {
namespace {

Frame& frame_of(Warp& w) { return *w.fragments[w.current].frame; }

/// d: the address in local space, a: bytes, imm: alignment.
void take_stack(Warp& w, const Insn& in, u32 mask) {
  u64* d = slots<u64>(w, in.d);
  const u64* a = slots<u64>(w, in.a);
  Frame& frame = frame_of(w);
  u64 most = 0;
  for (u32 rest = mask; rest != 0; rest &= rest - 1) most = std::max(most, a[std::countr_zero(rest)]);
  const u64 at = (frame.local_top + in.imm - 1) / in.imm * in.imm;
  if (most > kMaxLocalBytes || !grow_local(w, static_cast<u32>(std::min<u64>(at + most + 64, ~u32{0})))) {
    w.raise(Fault::illegal_address, static_cast<u32>(std::countr_zero(mask)), 0, "the stack overflows");
    return;
  }
  frame.local_top = static_cast<u32>(at + (most + 63) / 64 * 64);
  each_lane(mask, [&](u32 i) { d[i] = at; });
}

void save_stack(Warp& w, const Insn& in, u32 mask) {
  u64* d = slots<u64>(w, in.d);
  const u64 top = frame_of(w).local_top;
  each_lane(mask, [&](u32 i) { d[i] = top; });
}

void restore_stack(Warp& w, const Insn& in, u32 mask) {
  const u64* a = slots<u64>(w, in.a);
  Frame& frame = frame_of(w);
  // Lanes elsewhere in the function may still use what lies above.
  if (mask != frame.live) return;
  u64 top = frame.local_base + frame.function->local_bytes;
  for (u32 rest = mask; rest != 0; rest &= rest - 1) top = std::max(top, a[std::countr_zero(rest)]);
  frame.local_top = static_cast<u32>(std::min<u64>(top, frame.local_top));
}

}  // namespace

bool decode_stack(Builder& b, Words& w) {
  const auto& in = w.instruction();
  const std::string_view op = in.opcode;
  if (op != "alloca" && op != "stacksave" && op != "stackrestore") return false;
  b.need(w.take("u64"), "expected .u64");
  if (op == "alloca") {
    b.need(in.operands.size() == 2 || in.operands.size() == 3, "wrong number of operands");
    u64 align = 16;
    if (in.operands.size() == 3) {
      b.need(in.operands[2].kind == ast::Operand::Kind::integer, "expected an alignment");
      align = std::max<u64>(in.operands[2].value, 16);
      b.need(std::has_single_bit(align) && align <= 4096, "expected a power of two as alignment");
    }
    const Ref bytes = b.read(in.operands[1], Type::u64);
    b.emit(take_stack, b.write(in.operands[0], Type::u64), bytes).imm = align;
    return true;
  }
  b.need_operands(1);
  if (op == "stacksave") {
    b.emit(save_stack, b.write(in.operands[0], Type::u64));
  } else {
    b.emit(restore_stack, kNoRef, b.read(in.operands[0], Type::u64));
  }
  return true;
}

}  // namespace vgpu::softgpu::ptx
