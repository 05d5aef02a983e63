#include "softgpu/ptx/builder.hpp"
#include "softgpu/ptx/mbarrier.hpp"
#include "softgpu/ptx/memory_access.hpp"

namespace vgpu::softgpu::ptx {
namespace {

enum class Step { init, inval, arrive, arrive_drop, expect_bytes, complete_bytes, test_state, test_parity };

/// a: address, b: count, state or parity, c: announced bytes (may be absent), d: state or predicate (may be absent).
template <Step S, Space P>
void step(Warp& w, const Insn& in, u32 mask) {
  constexpr bool kTests = S == Step::test_state || S == Step::test_parity;
  Lanes at;
  if (!locate<P>(w, in, mask, 8, !kTests, at)) return;
  u32 truths = 0;
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const auto i = static_cast<u32>(std::countr_zero(rest));
    u64& object = *reinterpret_cast<u64*>(at.pointer[i]);
    if constexpr (S == Step::init) {
      const u64 count = slots<u32>(w, in.b)[i] & mbarrier::kCount;
      object = count | count << mbarrier::kExpectedShift;
    } else if constexpr (S == Step::inval) {
      object = 0;
    } else if constexpr (S == Step::arrive || S == Step::arrive_drop) {
      const u64 before = object;
      const u32 count = slots<u32>(w, in.b)[i];
      const u32 bytes = in.c != kNoRef ? slots<u32>(w, in.c)[i] : 0;
      object = mbarrier::step(before, count, S == Step::arrive_drop ? count : 0, bytes);
      if (in.d != kNoRef) slots<u64>(w, in.d)[i] = before;
    } else if constexpr (S == Step::expect_bytes || S == Step::complete_bytes) {
      const s64 bytes = slots<u32>(w, in.b)[i];
      object = mbarrier::step(object, 0, 0, S == Step::expect_bytes ? bytes : -bytes);
    } else if constexpr (S == Step::test_state) {
      truths |= (object ^ slots<u64>(w, in.b)[i]) >> mbarrier::kPhaseShift != 0 ? 1u << i : 0u;
    } else {
      truths |= (object >> mbarrier::kPhaseShift & 1) != (slots<u32>(w, in.b)[i] & 1) ? 1u << i : 0u;
    }
  }
  if constexpr (kTests) set_predicate(w, in.d, truths, mask);
}

u32 pending_of(u64 state) { return static_cast<u32>(state & mbarrier::kCount); }

template <Step S>
Handler pick(Space space) {
  return space == Space::shared ? Handler{step<S, Space::shared>} : Handler{step<S, Space::generic>};
}

bool finish(Builder& b, Handler run, const ast::Operand& where, Ref d, Ref value, Ref bytes = kNoRef) {
  const Address address = b.address(where);
  b.need(address.kind == Address::Kind::computed, "a barrier object lies in shared memory");
  Insn& insn = b.emit(run, d, address.ref, value, bytes);
  insn.imm = address.offset;
  insn.flags = address.wide ? kWideAddress : 0;
  return true;
}

Space take_barrier_space(Builder& b, Words& w) {
  const Space space = take_space(w);
  b.need(space == Space::shared || space == Space::generic, "a barrier object lies in shared memory");
  return space;
}

}  // namespace

bool decode_mbarrier(Builder& b, Words& w) {
  const auto& in = w.instruction();
  if (in.opcode != "mbarrier") return false;
  const std::string_view what = w.take_any();
  for (const std::string_view word : {"release", "acquire", "relaxed", "cta", "cluster"}) w.take(word);
  const bool arrives = what == "arrive" || what == "arrive_drop";
  const bool no_complete = w.take("noComplete");
  const bool announces = arrives && w.take("expect_tx");
  const bool parity = w.take("parity");
  b.need(!no_complete || arrives, "this modifier is not carried here");
  const Space space = take_barrier_space(b, w);
  b.need(w.take("b64"), "expected .b64");
  if (what == "pending_count") {
    b.need_operands(2);
    const Ref state = b.read(in.operands[1], Type::b64);
    b.emit(unary<u32, u64, pending_of>, b.write(in.operands[0], Type::u32), state);
    return true;
  }
  if (what == "init" || what == "expect_tx" || what == "complete_tx") {
    b.need_operands(2);
    const Handler run = what == "init"        ? pick<Step::init>(space)
                        : what == "expect_tx" ? pick<Step::expect_bytes>(space)
                                              : pick<Step::complete_bytes>(space);
    return finish(b, run, in.operands[0], kNoRef, b.read(in.operands[1], Type::u32));
  }
  if (what == "inval") {
    b.need_operands(1);
    return finish(b, pick<Step::inval>(space), in.operands[0], kNoRef, kNoRef);
  }
  if (arrives) {
    // A barrier of another block of the cluster gives no state: then there may be no result at all.
    const std::size_t first = !in.operands.empty() && in.operands[0].kind == ast::Operand::Kind::address ? 0 : 1;
    b.need(in.operands.size() == first + 1 || in.operands.size() == first + 2, "wrong number of operands");
    const bool given = in.operands.size() == first + 2;
    b.need(given || !announces, "expected a number of bytes");
    const Ref number = given ? b.read(in.operands[first + 1], Type::u32) : kNoRef;
    const Ref one = b.constant(1, false);
    const Ref d = first == 1 ? b.write(in.operands[0], Type::b64) : kNoRef;
    return finish(b, what == "arrive" ? pick<Step::arrive>(space) : pick<Step::arrive_drop>(space), in.operands[first],
                  d, given && !announces ? number : one, announces ? number : kNoRef);
  }
  if (what == "test_wait" || what == "try_wait") {
    // A try that fails at once is within its right; the time it may wait at most is a hint.
    b.need(in.operands.size() == 3 || (what == "try_wait" && in.operands.size() == 4), "wrong number of operands");
    b.need(in.operands[0].kind == ast::Operand::Kind::name, "expected a predicate");
    const Ref value = b.read(in.operands[2], parity ? Type::b32 : Type::b64);
    const Ref d = b.write_predicate(in.operands[0].name);
    return finish(b, parity ? pick<Step::test_parity>(space) : pick<Step::test_state>(space), in.operands[1], d, value);
  }
  return false;
}

bool decode_async_arrival(Builder& b, Words& w) {
  const auto& in = w.instruction();
  b.need(w.take("arrive"), "expected .arrive");
  // The copies are done already. Without .noinc the arrival was added to the expected ones just before: nothing is
  // left of both.
  const bool counts = w.take("noinc");
  const Space space = take_barrier_space(b, w);
  b.need(w.take("b64"), "expected .b64");
  b.need_operands(1);
  return finish(b, pick<Step::arrive>(space), in.operands[0], kNoRef, b.constant(counts ? 1 : 0, false));
}

}  // namespace vgpu::softgpu::ptx
