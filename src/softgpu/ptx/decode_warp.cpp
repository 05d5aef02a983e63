#include "softgpu/ptx/builder.hpp"
#include "softgpu/ptx/memory_access.hpp"

/// Exchange between the lanes of a warp (PTX ISA: shfl.sync, vote.sync, match.sync, redux.sync, activemask, elect.sync)
/// and the asynchronous copies. Operand e of an instruction that needs lanes together is their member mask.
namespace vgpu::softgpu::ptx {
namespace {

enum class Shuffle { up, down, butterfly, index };

/// a: value, b: lane operand, c: clamp and segment mask, imm: Ref of the predicate that tells if the source is in
/// range.
template <Shuffle S>
void shuffle(Warp& w, const Insn& in, u32 mask) {
  u32* d = slots<u32>(w, in.d);
  u32 values[kLanes];
  const u32* a = slots<u32>(w, in.a);
  for (u32 i = 0; i < kLanes; ++i) values[i] = a[i];
  const u32* b = slots<u32>(w, in.b);
  const u32* c = slots<u32>(w, in.c);
  u32 in_range = 0;
  u32 out[kLanes] = {};
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const auto i = static_cast<u32>(std::countr_zero(rest));
    const u32 operand = b[i] & 31;
    const u32 clamp = c[i] & 31;
    const u32 segment = c[i] >> 8 & 31;
    const u32 highest = (i & segment) | (clamp & ~segment);
    u32 from = 0;
    bool good = false;
    if constexpr (S == Shuffle::up) {
      good = static_cast<s32>(i) - static_cast<s32>(operand) >= static_cast<s32>(highest);
      from = i - operand;
    } else if constexpr (S == Shuffle::down) {
      from = i + operand;
      good = from <= highest;
    } else if constexpr (S == Shuffle::butterfly) {
      from = i ^ operand;
      good = from <= highest;
    } else {
      from = (i & segment) | (operand & ~segment & 31);
      good = from <= highest;
    }
    if (!good) from = i;
    in_range |= good ? 1u << i : 0u;
    out[i] = values[from & 31];
  }
  each_lane(mask, [&](u32 i) { d[i] = out[i]; });
  set_predicate(w, static_cast<Ref>(in.imm), in_range, mask);
}

enum class Vote { all, any, uniform, ballot };
/// a: the predicate; flags bit 1: inverted.
template <Vote V>
void vote(Warp& w, const Insn& in, u32 mask) {
  const u32 truths = predicate(w, in.a) ^ ((in.flags & 2) != 0 ? kAllLanes : 0u);
  const u32* members = slots<u32>(w, in.e);
  u32 result = 0;
  u32* d = V == Vote::ballot ? slots<u32>(w, in.d) : nullptr;
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const auto i = static_cast<u32>(std::countr_zero(rest));
    const u32 group = members[i] & mask;
    const u32 agreeing = truths & group;
    if constexpr (V == Vote::ballot) {
      d[i] = agreeing;
    } else {
      const bool good = V == Vote::all   ? agreeing == group
                        : V == Vote::any ? agreeing != 0
                                         : agreeing == group || agreeing == 0;
      result |= good ? 1u << i : 0u;
    }
  }
  if constexpr (V != Vote::ballot) set_predicate(w, in.d, result, mask);
}

/// match.any: lanes with the same value; match.all: all of them if they agree. imm: Ref of the predicate of .all.
template <class T, bool All>
void match(Warp& w, const Insn& in, u32 mask) {
  const auto* a = slots<T>(w, in.a);
  const u32* members = slots<u32>(w, in.e);
  u32 out[kLanes] = {};
  u32 agree = 0;
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const auto i = static_cast<u32>(std::countr_zero(rest));
    u32 same = 0;
    for (u32 k = 0; k < kLanes; ++k) same |= a[k] == a[i] ? 1u << k : 0u;
    const u32 group = members[i] & mask;
    same &= group;
    if constexpr (All) {
      if (same == group) agree |= 1u << i;
      out[i] = same == group ? group : 0;
    } else {
      out[i] = same;
    }
  }
  u32* d = slots<u32>(w, in.d);
  each_lane(mask, [&](u32 i) { d[i] = out[i]; });
  if constexpr (All) set_predicate(w, static_cast<Ref>(in.imm), agree, mask);
}

enum class Reduce { add, min, max, bit_and, bit_or, bit_xor };
template <class T, Reduce R>
void reduce(Warp& w, const Insn& in, u32 mask) {
  const u32* a = slots<u32>(w, in.a);
  const u32* members = slots<u32>(w, in.e);
  u32 out[kLanes] = {};
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const auto i = static_cast<u32>(std::countr_zero(rest));
    u32 group = members[i] & mask;
    T result = get<T>(a[i]);
    group &= ~(1u << i);
    for (; group != 0; group &= group - 1) {
      const T one = get<T>(a[std::countr_zero(group)]);
      if constexpr (R == Reduce::add) result = static_cast<T>(static_cast<u32>(result) + static_cast<u32>(one));
      if constexpr (R == Reduce::min) result = one < result ? one : result;
      if constexpr (R == Reduce::max) result = one > result ? one : result;
      if constexpr (R == Reduce::bit_and) result &= one;
      if constexpr (R == Reduce::bit_or) result |= one;
      if constexpr (R == Reduce::bit_xor) result ^= one;
    }
    out[i] = put<T>(result);
  }
  u32* d = slots<u32>(w, in.d);
  each_lane(mask, [&](u32 i) { d[i] = out[i]; });
}

void active_mask(Warp& w, const Insn& in, u32 mask) {
  u32* d = slots<u32>(w, in.d);
  each_lane(mask, [&](u32 i) { d[i] = mask; });
}
/// imm: Ref of the predicate.
void elect(Warp& w, const Insn& in, u32 mask) {
  const u32* members = slots<u32>(w, in.e);
  u32* d = slots<u32>(w, in.d);
  u32 chosen = 0;
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const auto i = static_cast<u32>(std::countr_zero(rest));
    const auto leader = static_cast<u32>(std::countr_zero(members[i] & mask));
    d[i] = leader;
    chosen |= leader == i ? 1u << i : 0u;
  }
  set_predicate(w, static_cast<Ref>(in.imm), chosen, mask);
}

Insn& emit_together(Builder& b, Handler run, Ref d, Ref a, Ref c, Ref e, Ref members) {
  Insn& insn = b.emit(run, d, a, c, e, members);
  insn.flow = Flow::warp_sync;
  return insn;
}

bool decode_shuffle(Builder& b, Words& w) {
  const auto& in = w.instruction();
  b.need(w.take("sync"), "shfl needs .sync");
  b.need_operands(5);
  Handler run = nullptr;
  if (w.take("up")) run = shuffle<Shuffle::up>;
  if (w.take("down")) run = shuffle<Shuffle::down>;
  if (w.take("bfly")) run = shuffle<Shuffle::butterfly>;
  if (w.take("idx")) run = shuffle<Shuffle::index>;
  b.need(w.take("b32"), "expected .b32");
  const Ref a = b.read(in.operands[1], Type::b32);
  const Ref lane = b.read(in.operands[2], Type::b32);
  const Ref clamp = b.read(in.operands[3], Type::b32);
  const Ref members = b.read(in.operands[4], Type::b32);
  const Ref p = b.write_predicate(in.operands[0].second);
  ast::Operand target = in.operands[0];
  target.second = {};
  emit_together(b, run, b.write(target, Type::b32), a, lane, clamp, members).imm = p;
  return true;
}

bool decode_vote(Builder& b, Words& w) {
  const auto& in = w.instruction();
  b.need(w.take("sync"), "vote needs .sync");
  b.need_operands(3);
  const Ref a = b.read_predicate(in.operands[1]);
  const Ref members = b.read(in.operands[2], Type::b32);
  Handler run = nullptr;
  Ref d = kNoRef;
  if (w.take("ballot")) {
    b.need(w.take("b32"), "expected .b32");
    run = vote<Vote::ballot>;
    d = b.write(in.operands[0], Type::b32);
  } else {
    if (w.take("all")) run = vote<Vote::all>;
    if (w.take("any")) run = vote<Vote::any>;
    if (w.take("uni")) run = vote<Vote::uniform>;
    b.need(w.take("pred"), "expected .pred");
    d = b.write_predicate(in.operands[0].name);
  }
  emit_together(b, run, d, a, kNoRef, kNoRef, members).flags = in.operands[1].inverted ? 2 : 0;
  return true;
}

bool decode_match(Builder& b, Words& w) {
  const auto& in = w.instruction();
  const bool all = w.take("all");
  b.need(all || w.take("any"), "expected .any or .all");
  b.need(w.take("sync"), "match needs .sync");
  const Type type = w.take_type();
  b.need(type == Type::b32 || type == Type::b64, "expected .b32 or .b64");
  b.need_operands(3);
  const bool wide = type == Type::b64;
  const Handler run =
      all ? (wide ? match<u64, true> : match<u32, true>) : (wide ? match<u64, false> : match<u32, false>);
  const Ref a = b.read(in.operands[1], type);
  const Ref members = b.read(in.operands[2], Type::b32);
  const Ref p = b.write_predicate(in.operands[0].second);
  ast::Operand target = in.operands[0];
  target.second = {};
  emit_together(b, run, b.write(target, Type::b32), a, kNoRef, kNoRef, members).imm = p;
  return true;
}

bool decode_redux(Builder& b, Words& w) {
  const auto& in = w.instruction();
  b.need(w.take("sync"), "redux needs .sync");
  b.need_operands(3);
  std::string_view op;
  for (const std::string_view word : {"add", "min", "max", "and", "or", "xor"}) {
    if (op.empty() && w.take(word)) op = word;
  }
  const Type type = w.take_type();
  const bool is_signed_type = type == Type::s32;
  b.need(is_signed_type || type == Type::u32 || type == Type::b32, "this type is not carried here");
  Handler run = nullptr;
  if (op == "add") run = reduce<u32, Reduce::add>;
  if (op == "min") run = is_signed_type ? reduce<s32, Reduce::min> : reduce<u32, Reduce::min>;
  if (op == "max") run = is_signed_type ? reduce<s32, Reduce::max> : reduce<u32, Reduce::max>;
  if (op == "and") run = reduce<u32, Reduce::bit_and>;
  if (op == "or") run = reduce<u32, Reduce::bit_or>;
  if (op == "xor") run = reduce<u32, Reduce::bit_xor>;
  const Ref a = b.read(in.operands[1], type);
  const Ref members = b.read(in.operands[2], Type::b32);
  emit_together(b, run, b.write(in.operands[0], type), a, kNoRef, kNoRef, members);
  return true;
}

}  // namespace

bool decode_warp(Builder& b, Words& w) {
  const auto& in = w.instruction();
  const std::string_view op = in.opcode;
  if (op == "shfl") return decode_shuffle(b, w);
  if (op == "vote") return decode_vote(b, w);
  if (op == "match") return decode_match(b, w);
  if (op == "redux") return decode_redux(b, w);
  if (op == "activemask") {
    b.need(w.take("b32"), "expected .b32");
    b.need_operands(1);
    b.emit(active_mask, b.write(in.operands[0], Type::b32));
    return true;
  }
  if (op == "elect") {
    b.need(w.take("sync"), "elect needs .sync");
    b.need_operands(2);
    const Ref members = b.read(in.operands[1], Type::b32);
    const Ref p = b.write_predicate(in.operands[0].second);
    ast::Operand target = in.operands[0];
    target.second = {};
    emit_together(b, elect, b.write(target, Type::b32), kNoRef, kNoRef, kNoRef, members).imm = p;
    return true;
  }
  return false;
}

}  // namespace vgpu::softgpu::ptx
