#include <bit>

#include "softgpu/ptx/builder.hpp"
#include "softgpu/ptx/lanes.hpp"

/// Logic, shifts, bit fields, permutation (PTX ISA, "Logic and Shift Instructions", and the bit-field instructions).
namespace vgpu::softgpu::ptx {
namespace {

template <class T>
T bit_and(T a, T b) {
  return static_cast<T>(a & b);
}
template <class T>
T bit_or(T a, T b) {
  return static_cast<T>(a | b);
}
template <class T>
T bit_xor(T a, T b) {
  return static_cast<T>(a ^ b);
}
template <class T>
T bit_not(T a) {
  return static_cast<T>(~a);
}
template <class T>
T logical_not(T a) {
  return a == 0 ? 1 : 0;
}

// Shifts by the width or more give what is left then: zero, or the sign.
template <class T>
T shift_left(T a, u32 n) {
  return n < 8 * sizeof(T) ? static_cast<T>(static_cast<u64>(a) << n) : T{0};
}
template <class T>
T shift_right(T a, u32 n) {
  constexpr u32 kBits = 8 * sizeof(T);
  if constexpr (std::is_signed_v<T>) return static_cast<T>(a >> (n < kBits ? n : kBits - 1));
  return n < kBits ? static_cast<T>(a >> n) : T{0};
}

template <bool Left, bool Wrap>
u32 funnel(u32 low, u32 high, u32 n) {
  n = Wrap ? n & 31 : (n > 32 ? 32 : n);
  const u64 both = u64{high} << 32 | low;
  return Left ? static_cast<u32>((both << n) >> 32) : static_cast<u32>(both >> n);
}

template <class T>
u32 population(T a) {
  return static_cast<u32>(std::popcount(a));
}
template <class T>
u32 leading_zeros(T a) {
  return static_cast<u32>(std::countl_zero(a));
}

template <class T, bool Distance>
u32 find_bit(T a) {
  constexpr u32 kBits = 8 * sizeof(T);
  auto bits = static_cast<std::make_unsigned_t<T>>(a);
  if (std::is_signed_v<T> && a < 0) bits = static_cast<std::make_unsigned_t<T>>(~bits);
  if (bits == 0) return ~u32{0};
  const u32 at = kBits - 1 - static_cast<u32>(std::countl_zero(bits));
  return Distance ? kBits - 1 - at : at;
}

template <class T>
T reverse(T a) {
  T out = 0;
  for (unsigned i = 0; i < 8 * sizeof(T); ++i) out = static_cast<T>(out | ((a >> i & 1) << (8 * sizeof(T) - 1 - i)));
  return out;
}

template <class T>
T extract(T a, u32 position, u32 length) {
  constexpr u32 kTop = 8 * sizeof(T) - 1;
  using U = std::make_unsigned_t<T>;
  position &= 0xff;
  length &= 0xff;
  const auto bits = static_cast<U>(a);
  bool sign = false;
  if (std::is_signed_v<T> && length != 0) {
    const u32 at = position + length - 1 < kTop ? position + length - 1 : kTop;
    sign = (bits >> at & 1) != 0;
  }
  U out = position <= kTop ? static_cast<U>(bits >> position) : U{0};
  // Bits beyond the value, and beyond the field, are the sign's.
  const u32 have = position <= kTop ? kTop + 1 - position : 0;
  const u32 valid = length < have ? length : have;
  const U keep = valid > kTop ? static_cast<U>(~U{0}) : static_cast<U>((U{1} << valid) - 1);
  out = static_cast<U>(out & keep);
  if (sign) out = static_cast<U>(out | static_cast<U>(~keep));
  return static_cast<T>(out);
}

template <class T>
T insert(T a, T into, u32 position, u32 length) {
  constexpr u32 kBits = 8 * sizeof(T);
  position &= 0xff;
  length &= 0xff;
  if (position >= kBits || length == 0) return into;
  const T field = length >= kBits ? static_cast<T>(~T{0}) : static_cast<T>((T{1} << length) - 1);
  const auto mask = static_cast<T>(field << position);
  return static_cast<T>((into & static_cast<T>(~mask)) | (static_cast<T>(a << position) & mask));
}

template <bool Wrap>
u32 bit_mask(u32 position, u32 width) {
  if (Wrap) {
    position &= 31;
    width &= 31;
  }
  if (position >= 32) return 0;
  const u32 field = width >= 32 ? ~u32{0} : (1u << width) - 1;
  return field << position;
}

template <class T, bool Wrap>
T sign_extend(T a, u32 n) {
  if (Wrap) n &= 31;
  if (n >= 32) return a;
  if (n == 0) return 0;
  const u32 shift = 32 - n;
  return static_cast<T>(static_cast<T>(static_cast<u32>(a) << shift) >> shift);
}

u32 lookup(u32 a, u32 b, u32 c, u32 table) {
  u32 out = 0;
  for (u32 i = 0; i < 8; ++i) {
    if ((table >> i & 1) == 0) continue;
    out |= ((i & 4) != 0 ? a : ~a) & ((i & 2) != 0 ? b : ~b) & ((i & 1) != 0 ? c : ~c);
  }
  return out;
}
void lop3(Warp& w, const Insn& in, u32 mask) {
  u32* d = slots<u32>(w, in.d);
  const u32* a = slots<u32>(w, in.a);
  const u32* b = slots<u32>(w, in.b);
  const u32* c = slots<u32>(w, in.c);
  const auto table = static_cast<u32>(in.imm);
  each_lane(mask, [&](u32 i) { d[i] = lookup(a[i], b[i], c[i], table); });
}

u32 pick_byte(u64 both, u32 selector) {
  const auto byte = static_cast<u32>(both >> (8 * (selector & 7)) & 0xff);
  if ((selector & 8) == 0) return byte;
  return (byte & 0x80) != 0 ? 0xff : 0;
}
u32 permute(u32 a, u32 b, u32 c) {
  const u64 both = u64{b} << 32 | a;
  u32 out = 0;
  for (u32 i = 0; i < 4; ++i) out |= pick_byte(both, c >> 4 * i & 15) << 8 * i;
  return out;
}
enum class Permute { f4e, b4e, rc8, ecl, ecr, rc16 };
template <Permute P>
u32 permute_by(u32 a, u32 b, u32 c) {
  constexpr u32 kTables[6][4] = {{0x3210, 0x4321, 0x5432, 0x6543}, {0x5670, 0x6701, 0x7012, 0x0123},
                                 {0x0000, 0x1111, 0x2222, 0x3333}, {0x3210, 0x3211, 0x3222, 0x3333},
                                 {0x0000, 0x1110, 0x2210, 0x3210}, {0x1010, 0x3232, 0x1010, 0x3232}};
  return permute(a, b, kTables[static_cast<int>(P)][c & 3]);
}

enum Logic : std::uint8_t { kAnd, kOr, kXor };
template <Logic L>
void predicates(Warp& w, const Insn& in, u32 mask) {
  const u32 a = predicate(w, in.a) ^ static_cast<u32>(in.imm);
  const u32 b = predicate(w, in.b) ^ static_cast<u32>(in.imm >> 32);
  set_predicate(w, in.d, L == kAnd ? a & b : L == kOr ? a | b : a ^ b, mask);
}
/// a: a value, b: a predicate, inverted where imm says so; d: whether a is not zero, joined with b.
template <Logic L>
void test_result(Warp& w, const Insn& in, u32 mask) {
  const u32* a = slots<u32>(w, in.a);
  const u32 b = predicate(w, in.b) ^ static_cast<u32>(in.imm);
  const u32 some = collect([&](u32 i) { return a[i] != 0; });
  set_predicate(w, in.d, L == kAnd ? some & b : some | b, mask);
}
void invert_predicate(Warp& w, const Insn& in, u32 mask) { set_predicate(w, in.d, ~predicate(w, in.a), mask); }

/// The position of the n-th set bit from a base, upwards or downwards; all ones if there is none.
u32 find_nth(u32 bits, u32 base, s32 n) {
  if (n == 0) return base < 32 && (bits >> base & 1) != 0 ? base : ~u32{0};
  const s64 step = n < 0 ? -1 : 1;
  s64 left = n < 0 ? -static_cast<s64>(n) : n;
  for (s64 at = base; at >= 0 && at < 32; at += step) {
    if ((bits >> at & 1) != 0 && --left == 0) return static_cast<u32>(at);
  }
  return ~u32{0};
}

/// Unsigned handlers by size.
template <class F>
Handler by_size(Type type, F f) {
  switch (bytes_of(type)) {
    case 2:
      return f.template operator()<u16>();
    case 4:
      return f.template operator()<u32>();
    case 8:
      return f.template operator()<u64>();
    default:
      return nullptr;
  }
}

bool decode_logic(Builder& b, Words& w) {
  const auto& in = w.instruction();
  const std::string_view op = in.opcode;
  const Type type = w.take_type();
  const bool one = op == "not" || op == "cnot";
  b.need_operands(one ? 2 : 3);
  if (type == Type::pred) {
    b.need(in.operands[0].kind == ast::Operand::Kind::name, "expected a predicate");
    const Ref a = b.read_predicate(in.operands[1]);
    b.need(op != "cnot", "cnot is not for predicates");
    if (one) {
      b.need(!in.operands[1].inverted, "this form of operand is not carried here");
      b.emit(invert_predicate, b.write_predicate(in.operands[0].name), a);
      return true;
    }
    const Ref c = b.read_predicate(in.operands[2]);
    Insn& insn = b.emit(op == "and"  ? predicates<kAnd>
                        : op == "or" ? predicates<kOr>
                                     : predicates<kXor>,
                        b.write_predicate(in.operands[0].name), a, c);
    insn.imm = (in.operands[1].inverted ? 0xffffffffu : 0u) | (in.operands[2].inverted ? u64{0xffffffffu} << 32 : 0u);
    return true;
  }
  b.need(is_untyped(type), "expected .b16, .b32, .b64 or .pred");
  Handler run = nullptr;
  if (op == "and") run = by_size(type, []<class T>() -> Handler { return binary<T, T, T, bit_and<T>>; });
  if (op == "or") run = by_size(type, []<class T>() -> Handler { return binary<T, T, T, bit_or<T>>; });
  if (op == "xor") run = by_size(type, []<class T>() -> Handler { return binary<T, T, T, bit_xor<T>>; });
  if (op == "not") run = by_size(type, []<class T>() -> Handler { return unary<T, T, bit_not<T>>; });
  if (op == "cnot") run = by_size(type, []<class T>() -> Handler { return unary<T, T, logical_not<T>>; });
  const Ref a = b.read(in.operands[1], type);
  const Ref c = one ? kNoRef : b.read(in.operands[2], type);
  b.emit(run, b.write(in.operands[0], type), a, c);
  return true;
}

bool decode_shift(Builder& b, Words& w) {
  const auto& in = w.instruction();
  b.need_operands(3);
  const Type type = w.take_type();
  const Handler run = in.opcode == "shl"
                          ? by_size(type, []<class T>() -> Handler { return binary<T, T, u32, shift_left<T>>; })
                          : for_words(type, []<class T>() -> Handler { return binary<T, T, u32, shift_right<T>>; });
  const Ref a = b.read(in.operands[1], type);
  const Ref n = b.read(in.operands[2], Type::b32);
  b.emit(run, b.write(in.operands[0], type), a, n);
  return true;
}

bool decode_counts(Builder& b, Words& w) {
  const auto& in = w.instruction();
  const std::string_view op = in.opcode;
  b.need_operands(2);
  const bool distance = op == "bfind" && w.take("shiftamt");
  const Type type = w.take_type();
  b.need(bytes_of(type) >= 4 && !is_float(type) && type != Type::b128, "this type is not carried here");
  const bool wide = bytes_of(type) == 8;
  Handler run = nullptr;
  Type result = Type::u32;
  if (op == "popc") run = wide ? unary<u32, u64, population<u64>> : unary<u32, u32, population<u32>>;
  if (op == "clz") run = wide ? unary<u32, u64, leading_zeros<u64>> : unary<u32, u32, leading_zeros<u32>>;
  if (op == "brev") {
    run = wide ? unary<u64, u64, reverse<u64>> : unary<u32, u32, reverse<u32>>;
    result = type;
  }
  if (op == "bfind") {
    run = for_words(type, [&]<class T>() -> Handler {
      return distance ? unary<u32, T, find_bit<T, true>> : unary<u32, T, find_bit<T, false>>;
    });
  }
  const Ref a = b.read(in.operands[1], type);
  b.emit(run, b.write(in.operands[0], result), a);
  return true;
}

bool decode_fields(Builder& b, Words& w) {
  const auto& in = w.instruction();
  if (in.opcode == "bfe") {
    b.need_operands(4);
    const Type type = w.take_type();
    b.need(bytes_of(type) >= 4, "this type is not carried here");
    const Handler run = for_words(type, []<class T>() -> Handler { return ternary<T, T, u32, u32, extract<T>>; });
    const Ref a = b.read(in.operands[1], type);
    const Ref position = b.read(in.operands[2], Type::u32);
    const Ref length = b.read(in.operands[3], Type::u32);
    b.emit(run, b.write(in.operands[0], type), a, position, length);
    return true;
  }
  if (in.opcode == "bfi") {
    b.need_operands(5);
    const Type type = w.take_type();
    b.need(type == Type::b32 || type == Type::b64, "expected .b32 or .b64");
    const Ref a = b.read(in.operands[1], type);
    const Ref into = b.read(in.operands[2], type);
    const Ref position = b.read(in.operands[3], Type::u32);
    const Ref length = b.read(in.operands[4], Type::u32);
    b.emit(type == Type::b64 ? quaternary<u64, u64, u64, u32, u32, insert<u64>>
                             : quaternary<u32, u32, u32, u32, u32, insert<u32>>,
           b.write(in.operands[0], type), a, into, position, length);
    return true;
  }
  b.need_operands(3);
  const bool wrap = w.take("wrap");
  if (!wrap && !w.take("clamp")) b.refuse("expected .clamp or .wrap");
  const Type type = w.take_type();
  b.need(bytes_of(type) == 4, "this type is not carried here");
  Handler run = nullptr;
  if (in.opcode == "bmsk") {
    run = wrap ? binary<u32, u32, u32, bit_mask<true>> : binary<u32, u32, u32, bit_mask<false>>;
  } else if (type == Type::s32) {
    run = wrap ? binary<s32, s32, u32, sign_extend<s32, true>> : binary<s32, s32, u32, sign_extend<s32, false>>;
  } else {
    run = wrap ? binary<u32, u32, u32, sign_extend<u32, true>> : binary<u32, u32, u32, sign_extend<u32, false>>;
  }
  const Ref a = b.read(in.operands[1], type);
  const Ref n = b.read(in.operands[2], Type::u32);
  b.emit(run, b.write(in.operands[0], type), a, n);
  return true;
}

bool decode_prmt(Builder& b, Words& w) {
  const auto& in = w.instruction();
  b.need_operands(4);
  if (!w.take("b32")) b.refuse("expected .b32");
  Handler run = ternary<u32, u32, u32, u32, permute>;
  if (w.take("f4e")) run = ternary<u32, u32, u32, u32, permute_by<Permute::f4e>>;
  if (w.take("b4e")) run = ternary<u32, u32, u32, u32, permute_by<Permute::b4e>>;
  if (w.take("rc8")) run = ternary<u32, u32, u32, u32, permute_by<Permute::rc8>>;
  if (w.take("ecl")) run = ternary<u32, u32, u32, u32, permute_by<Permute::ecl>>;
  if (w.take("ecr")) run = ternary<u32, u32, u32, u32, permute_by<Permute::ecr>>;
  if (w.take("rc16")) run = ternary<u32, u32, u32, u32, permute_by<Permute::rc16>>;
  const Ref a = b.read(in.operands[1], Type::b32);
  const Ref c = b.read(in.operands[2], Type::b32);
  const Ref selector = b.read(in.operands[3], Type::b32);
  b.emit(run, b.write(in.operands[0], Type::b32), a, c, selector);
  return true;
}

bool decode_lop3(Builder& b, Words& w) {
  const auto& in = w.instruction();
  // With .and or .or a predicate tells if the result is other than zero, joined with another one.
  const bool joins_or = w.take("or");
  const bool joins = joins_or || w.take("and");
  b.need_operands(joins ? 6 : 5);
  if (!w.take("b32")) b.refuse("expected .b32");
  const Ref a = b.read(in.operands[1], Type::b32);
  const Ref c = b.read(in.operands[2], Type::b32);
  const Ref e = b.read(in.operands[3], Type::b32);
  b.need(in.operands[4].kind == ast::Operand::Kind::integer && in.operands[4].value < 256,
         "expected a table of 8 bits");
  if (!joins) {
    b.emit(lop3, b.write(in.operands[0], Type::b32), a, c, e).imm = in.operands[4].value;
    return true;
  }
  const Ref joined = b.read_predicate(in.operands[5]);
  const Ref p = b.write_predicate(in.operands[0].second);
  ast::Operand target = in.operands[0];
  target.second = {};
  const Ref d = b.write(target, Type::b32);
  b.emit(lop3, d, a, c, e).imm = in.operands[4].value;
  Insn& insn = b.emit(joins_or ? test_result<kOr> : test_result<kAnd>, p, d, joined);
  insn.imm = in.operands[5].inverted ? kAllLanes : 0u;
  return true;
}

bool decode_shf(Builder& b, Words& w) {
  const auto& in = w.instruction();
  b.need_operands(4);
  const bool left = w.take("l");
  if (!left && !w.take("r")) b.refuse("expected .l or .r");
  const bool wrap = w.take("wrap");
  if (!wrap && !w.take("clamp")) b.refuse("expected .clamp or .wrap");
  if (!w.take("b32")) b.refuse("expected .b32");
  const Handler run =
      left ? (wrap ? ternary<u32, u32, u32, u32, funnel<true, true>> : ternary<u32, u32, u32, u32, funnel<true, false>>)
           : (wrap ? ternary<u32, u32, u32, u32, funnel<false, true>>
                   : ternary<u32, u32, u32, u32, funnel<false, false>>);
  const Ref a = b.read(in.operands[1], Type::b32);
  const Ref c = b.read(in.operands[2], Type::b32);
  const Ref n = b.read(in.operands[3], Type::b32);
  b.emit(run, b.write(in.operands[0], Type::b32), a, c, n);
  return true;
}

}  // namespace

bool decode_bits(Builder& b, Words& w) {
  const std::string_view op = w.instruction().opcode;
  if (op == "and" || op == "or" || op == "xor" || op == "not" || op == "cnot") return decode_logic(b, w);
  if (op == "shl" || op == "shr") return decode_shift(b, w);
  if (op == "popc" || op == "clz" || op == "brev" || op == "bfind") return decode_counts(b, w);
  if (op == "bfe" || op == "bfi" || op == "bmsk" || op == "szext") return decode_fields(b, w);
  if (op == "prmt") return decode_prmt(b, w);
  if (op == "lop3") return decode_lop3(b, w);
  if (op == "shf") return decode_shf(b, w);
  if (op == "fns") {
    const auto& in = w.instruction();
    b.need_operands(4);
    if (!w.take("b32")) b.refuse("expected .b32");
    const Ref bits = b.read(in.operands[1], Type::b32);
    const Ref base = b.read(in.operands[2], Type::b32);
    const Ref n = b.read(in.operands[3], Type::s32);
    b.emit(ternary<u32, u32, u32, s32, find_nth>, b.write(in.operands[0], Type::b32), bits, base, n);
    return true;
  }
  return false;
}

}  // namespace vgpu::softgpu::ptx
