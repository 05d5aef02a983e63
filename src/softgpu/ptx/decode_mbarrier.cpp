#include "softgpu/ptx/builder.hpp"
#include "softgpu/ptx/mbarrier.hpp"
#include "softgpu/ptx/memory_access.hpp"

/// Barrier objects in shared memory (PTX ISA, "mbarrier"). The object is opaque to programs; here it holds the arrivals
/// that are pending (bits 0 to 19), those of each phase (20 to 39) and the number of the phase (40 and up). A block is
/// run by one thread of the host at a time, so nothing here need be atomic. Counts of transferred bytes are not
/// carried.
namespace vgpu::softgpu::ptx {
namespace {

constexpr u64 kCount = (u64{1} << 20) - 1;
constexpr unsigned kExpectedShift = 20;
constexpr unsigned kPhaseShift = 40;

enum class Step { init, inval, arrive, arrive_drop, test_state, test_parity };

u64 after_arrival(u64 object, u32 count, bool drops) {
  u64 pending = object & kCount;
  u64 expected = object >> kExpectedShift & kCount;
  u64 phase = object >> kPhaseShift;
  if (drops) expected = (expected - count) & kCount;
  pending = (pending - count) & kCount;
  if (pending == 0) {
    pending = expected;
    phase = (phase + 1) & 0xffffff;
  }
  return pending | expected << kExpectedShift | phase << kPhaseShift;
}

/// a: address, b: count, state or parity, d: state or predicate (may be absent).
template <Step S, Space P>
void step(Warp& w, const Insn& in, u32 mask) {
  Lanes at;
  if (!locate<P>(w, in, mask, 8, S != Step::test_state && S != Step::test_parity, at)) return;
  u32 truths = 0;
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const auto i = static_cast<u32>(std::countr_zero(rest));
    u64& object = *reinterpret_cast<u64*>(at.pointer[i]);
    if constexpr (S == Step::init) {
      const u64 count = slots<u32>(w, in.b)[i] & kCount;
      object = count | count << kExpectedShift;
    } else if constexpr (S == Step::inval) {
      object = 0;
    } else if constexpr (S == Step::arrive || S == Step::arrive_drop) {
      const u64 before = object;
      object = after_arrival(before, slots<u32>(w, in.b)[i], S == Step::arrive_drop);
      if (in.d != kNoRef) slots<u64>(w, in.d)[i] = before;
    } else if constexpr (S == Step::test_state) {
      truths |= object >> kPhaseShift != slots<u64>(w, in.b)[i] >> kPhaseShift ? 1u << i : 0u;
    } else {
      truths |= (object >> kPhaseShift & 1) != (slots<u32>(w, in.b)[i] & 1) ? 1u << i : 0u;
    }
  }
  if constexpr (S == Step::test_state || S == Step::test_parity) set_predicate(w, in.d, truths, mask);
}

u32 pending_of(u64 state) { return static_cast<u32>(state & kCount); }

template <Step S>
Handler pick(Space space) {
  return space == Space::shared ? Handler{step<S, Space::shared>} : Handler{step<S, Space::generic>};
}

}  // namespace

bool decode_mbarrier(Builder& b, Words& w) {
  const auto& in = w.instruction();
  if (in.opcode != "mbarrier") return false;
  const std::string_view what = w.take_any();
  for (const std::string_view word : {"release", "acquire", "relaxed", "cta", "cluster"}) w.take(word);
  const bool no_complete = w.take("noComplete");
  const bool parity = w.take("parity");
  b.need(!no_complete || what == "arrive" || what == "arrive_drop", "this modifier is not carried here");
  const Space space = take_space(w);
  b.need(space == Space::shared || space == Space::generic, "a barrier object lies in shared memory");
  b.need(w.take("b64"), "expected .b64");
  if (what == "pending_count") {
    b.need_operands(2);
    const Ref state = b.read(in.operands[1], Type::b64);
    b.emit(unary<u32, u64, pending_of>, b.write(in.operands[0], Type::u32), state);
    return true;
  }
  const auto finish = [&](Handler run, const ast::Operand& where, Ref d, Ref value) {
    const Address address = b.address(where);
    b.need(address.kind == Address::Kind::computed, "a barrier object lies in shared memory");
    Insn& insn = b.emit(run, d, address.ref, value);
    insn.imm = address.offset;
    insn.flags = address.wide ? kWideAddress : 0;
    return true;
  };
  if (what == "init") {
    b.need_operands(2);
    return finish(pick<Step::init>(space), in.operands[0], kNoRef, b.read(in.operands[1], Type::u32));
  }
  if (what == "inval") {
    b.need_operands(1);
    return finish(pick<Step::inval>(space), in.operands[0], kNoRef, kNoRef);
  }
  if (what == "arrive" || what == "arrive_drop") {
    b.need(in.operands.size() == 2 || in.operands.size() == 3, "wrong number of operands");
    const Ref count = in.operands.size() == 3 ? b.read(in.operands[2], Type::u32) : b.constant(1, false);
    const Ref d = b.write(in.operands[0], Type::b64);
    return finish(what == "arrive" ? pick<Step::arrive>(space) : pick<Step::arrive_drop>(space), in.operands[1], d,
                  count);
  }
  if (what == "test_wait" || what == "try_wait") {
    // A try that fails at once is within its right; the time it may wait at most is a hint.
    b.need(in.operands.size() == 3 || (what == "try_wait" && in.operands.size() == 4), "wrong number of operands");
    b.need(in.operands[0].kind == ast::Operand::Kind::name, "expected a predicate");
    const Ref value = b.read(in.operands[2], parity ? Type::b32 : Type::b64);
    const Ref d = b.write_predicate(in.operands[0].name);
    return finish(parity ? pick<Step::test_parity>(space) : pick<Step::test_state>(space), in.operands[1], d, value);
  }
  return false;
}

}  // namespace vgpu::softgpu::ptx
