#include <cstring>

#include "softgpu/ptx/builder.hpp"
#include "softgpu/ptx/mbarrier.hpp"
#include "softgpu/ptx/memory_access.hpp"

/// cp.async.bulk without tensors (PTX ISA, "Data Movement and Conversion Instructions: Asynchronous copy"). The copy is
/// made at once; its bytes count as come at the barrier, and groups are complete whenever they are waited for.
namespace vgpu::softgpu::ptx {
namespace {

void nothing(Warp&, const Insn&, u32) {}

std::byte* place(Warp& w, u32 lane, Space space, u64 address, u32 bytes, bool writes) {
  if (space == Space::shared && address < kSharedWindow) address += kSharedWindow;
  return resolve(w, lane, address, bytes, writes);
}

u64 lane_address(Warp& w, Ref ref, bool wide, u64 offset, u32 lane) {
  return (wide ? slots<u64>(w, ref)[lane] : slots<u32>(w, ref)[lane]) + offset;
}

/// a: destination, b: source, c: bytes, e: barrier (may be absent). flags: which addresses have 64 bits, which spaces
/// are shared. Offsets were added before.
enum : std::uint8_t { kWideTo = 1, kWideFrom = 2, kWideBarrier = 4, kToShared = 8, kFromShared = 16 };
void copy(Warp& w, const Insn& in, u32 mask) {
  const auto space = [&](std::uint8_t flag) { return (in.flags & flag) != 0 ? Space::shared : Space::global; };
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const auto i = static_cast<u32>(std::countr_zero(rest));
    const u64 to = lane_address(w, in.a, (in.flags & kWideTo) != 0, 0, i);
    const u64 from = lane_address(w, in.b, (in.flags & kWideFrom) != 0, 0, i);
    const u32 bytes = slots<u32>(w, in.c)[i];
    if (((to | from | bytes) & 15) != 0) {
      w.raise(Fault::misaligned_address, i, (to & 15) != 0 ? to : from, "a bulk copy of what is not aligned to 16");
      return;
    }
    std::byte* target = place(w, i, space(kToShared), to, bytes, true);
    const std::byte* source = place(w, i, space(kFromShared), from, bytes, false);
    if (bytes != 0 && (target == nullptr || source == nullptr)) {
      w.raise(Fault::illegal_address, i, target == nullptr ? to : from, "a bulk copy beyond what is allocated");
      return;
    }
    if (bytes != 0) std::memmove(target, source, bytes);
    if (in.e == kNoRef) continue;
    const u64 barrier = lane_address(w, in.e, (in.flags & kWideBarrier) != 0, 0, i);
    std::byte* object = (barrier & 7) == 0 ? place(w, i, Space::shared, barrier, 8, true) : nullptr;
    if (object == nullptr) {
      w.raise(Fault::illegal_address, i, barrier, "a barrier object that is not in shared memory");
      return;
    }
    u64& state = *reinterpret_cast<u64*>(object);
    state = mbarrier::step(state, 0, 0, -static_cast<s64>(bytes));
  }
}

u64 add_wide(u64 a, u64 b) { return a + b; }
u32 add_narrow(u32 a, u32 b) { return a + b; }

/// The address with its offset added.
Ref whole_address(Builder& b, const ast::Operand& operand, bool& wide) {
  const Address address = b.address(operand);
  b.need(address.kind == Address::Kind::computed, "this form of address is not carried");
  wide = address.wide;
  if (address.offset == 0) return address.ref;
  const Ref out = b.temporary(wide);
  b.emit(wide ? Handler{binary<u64, u64, u64, add_wide>} : Handler{binary<u32, u32, u32, add_narrow>}, out, address.ref,
         b.constant(address.offset, wide));
  return out;
}

}  // namespace

bool decode_bulk(Builder& b, Words& w) {
  const auto& in = w.instruction();
  if (w.take("commit_group")) {
    b.need_operands(0);
    b.emit(nothing);
    return true;
  }
  if (w.take("wait_group")) {
    w.take("read");
    b.need_operands(1);
    b.emit(nothing);
    return true;
  }
  if (w.take("tensor")) b.refuse("copies of tensors are not carried");
  if (w.take("prefetch")) {
    while (!w.left().empty()) w.take_any();
    b.emit(nothing);
    return true;
  }
  // The destination's space stands first.
  const bool to_global = !w.left().empty() && w.left() == "global";
  const Space first = take_space(w);
  const Space second = take_space(w);
  const bool in_order = (first == Space::global) == to_global;
  const Space to = in_order ? first : second;
  const Space from = in_order ? second : first;
  b.need((to == Space::shared || to == Space::global) && (from == Space::shared || from == Space::global) &&
             (to == Space::shared || from == Space::shared),
         "a copy between these spaces is not carried");
  const bool to_barrier = w.take("mbarrier::complete_tx::bytes");
  if (!to_barrier) b.need(w.take("bulk_group"), "this way of completion is not carried");
  const bool with_policy = w.take("L2::cache_hint");
  b.need_operands(std::size_t{3} + (to_barrier ? 1 : 0) + (with_policy ? 1 : 0));
  bool wide_to = false;
  bool wide_from = false;
  bool wide_barrier = false;
  const Ref target = whole_address(b, in.operands[0], wide_to);
  const Ref source = whole_address(b, in.operands[1], wide_from);
  const Ref bytes = b.read(in.operands[2], Type::u32);
  const Ref barrier = to_barrier ? whole_address(b, in.operands[3], wide_barrier) : kNoRef;
  Insn& insn = b.emit(copy, kNoRef, target, source, bytes, barrier);
  insn.flags = static_cast<std::uint8_t>((wide_to ? kWideTo : 0) | (wide_from ? kWideFrom : 0) |
                                         (wide_barrier ? kWideBarrier : 0) | (to == Space::shared ? kToShared : 0) |
                                         (from == Space::shared ? kFromShared : 0));
  return true;
}

}  // namespace vgpu::softgpu::ptx
