#include <cstring>

#include "softgpu/ptx/builder.hpp"
#include "softgpu/ptx/mbarrier.hpp"
#include "softgpu/ptx/memory_access.hpp"

/// cp.async: the copy is made at once, so that groups are complete whenever they are waited for.
namespace vgpu::softgpu::ptx {
namespace {

void nothing(Warp&, const Insn&, u32) {}

/// d: as many bytes as imm says, none where the predicate a is true.
void bytes_unless(Warp& w, const Insn& in, u32 mask) {
  u32* d = slots<u32>(w, in.d);
  const u32 ignored = predicate(w, in.a);
  each_lane(mask, [&](u32 i) { d[i] = (ignored >> i & 1) != 0 ? 0 : static_cast<u32>(in.imm); });
}

/// a: shared address, b: global address, c: bytes to take from the source (kNoRef: all), count: bytes to write; what is
/// not taken becomes zero. imm and e's bits: the offsets of the two addresses.
void copy(Warp& w, const Insn& in, u32 mask) {
  const u32 bytes = in.count;
  Insn to_insn = in;
  Lanes to;
  if (!locate<Space::shared>(w, to_insn, mask, bytes, true, to)) return;
  Insn from_insn = in;
  from_insn.a = in.b;
  from_insn.imm = static_cast<u64>(static_cast<s64>(static_cast<s32>(in.target)));
  from_insn.flags = kWideAddress;
  const u32* sizes = in.c != kNoRef ? slots<u32>(w, in.c) : nullptr;
  // Lanes that take nothing may have any source address.
  u32 readers = mask;
  for (u32 i = 0; sizes != nullptr && i < kLanes; ++i) readers &= sizes[i] == 0 ? ~(1u << i) : kAllLanes;
  Lanes from;
  if (readers != 0 && !locate<Space::global>(w, from_insn, readers, bytes, false, from)) return;
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const auto i = static_cast<u32>(std::countr_zero(rest));
    const u32 take = sizes != nullptr && sizes[i] < bytes ? sizes[i] : bytes;
    std::byte buffer[16] = {};
    if ((readers >> i & 1) != 0) std::memcpy(buffer, from.pointer[i], take);
    std::memcpy(to.pointer[i], buffer, bytes);
  }
}

}  // namespace

bool decode_async(Builder& b, Words& w) {
  const auto& in = w.instruction();
  if (in.opcode == "mbarrier") return decode_mbarrier(b, w);
  if (in.opcode != "cp" || !w.take("async")) return false;
  if (w.take("bulk")) return decode_bulk(b, w);
  if (w.take("mbarrier")) return decode_async_arrival(b, w);
  if (w.take("commit_group") || w.take("wait_group") || w.take("wait_all")) {
    b.emit(nothing);
    return true;
  }
  if (!w.take("ca") && !w.take("cg")) return false;
  b.need(w.take("shared") || w.take("shared::cta"), "expected .shared");
  b.need(w.take("global"), "expected .global");
  for (const std::string_view hint : {"L2::64B", "L2::128B", "L2::256B"}) w.take(hint);
  // A cache policy changes nothing that a program can see.
  const bool with_policy = w.take("L2::cache_hint");
  const std::size_t count = in.operands.size() - (with_policy && !in.operands.empty() ? 1 : 0);
  b.need(count == 3 || count == 4, "wrong number of operands");
  const Address to = b.address(in.operands[0]);
  const Address from = b.address(in.operands[1]);
  b.need(to.kind == Address::Kind::computed && from.kind == Address::Kind::computed && from.wide,
         "this form of address is not carried");
  b.need(in.operands[2].kind == ast::Operand::Kind::integer, "expected a number of bytes");
  const u64 bytes = in.operands[2].value;
  b.need(bytes == 4 || bytes == 8 || bytes == 16, "expected 4, 8 or 16 bytes");
  const auto offset = static_cast<s64>(from.offset);
  b.need(offset >= INT32_MIN && offset <= INT32_MAX, "the offset is too large");
  Ref size = kNoRef;
  if (count == 4 && b.register_type(in.operands[3]) == Type::pred) {
    // A true predicate says that the source is not to be read.
    const Ref ignored = b.read_predicate(in.operands[3]);
    size = b.temporary(false);
    b.emit(bytes_unless, size, ignored).imm = bytes;
  } else if (count == 4) {
    size = b.read(in.operands[3], Type::u32);
  }
  Insn& insn = b.emit(copy, kNoRef, to.ref, from.ref, size);
  insn.imm = to.offset;
  insn.flags = to.wide ? kWideAddress : 0;
  insn.target = static_cast<u32>(static_cast<s32>(offset));
  insn.count = static_cast<std::uint8_t>(bytes);
  return true;
}

}  // namespace vgpu::softgpu::ptx
