#include <algorithm>
#include <bit>
#include <limits>

#include "softgpu/ptx/builder.hpp"
#include "softgpu/ptx/lanes.hpp"

/// The video instructions (PTX ISA, "Scalar Video Instructions" and "SIMD Video Instructions"): operands are bytes or
/// halves that a selector picks, results may be merged into a third operand or added to it.
namespace vgpu::softgpu::ptx {
namespace {

enum class Op : std::uint8_t { add, sub, absdiff, min, max, average, set, shl, shr, mad };
enum class Test : std::uint8_t { eq, ne, lt, le, gt, ge };
enum class Second : std::uint8_t { none, add, min, max, merge };

/// What a handler needs to know beside the operands; it travels in Insn::imm.
struct Plan {
  std::uint8_t parts = 1;      ///< 1: scalar, else values in a register
  std::uint8_t mask = 0xf;     ///< SIMD: the parts that are computed
  std::uint8_t test = 0;       ///< Test
  std::uint8_t flags = 0;      ///< below
  std::uint16_t a_select = 0;  ///< SIMD: a nibble for each part; scalar: bits << 8 | position
  std::uint16_t b_select = 0;
};
static_assert(sizeof(Plan) == 8);
enum : std::uint8_t { kSignedA = 1, kSignedB = 2, kSignedD = 4, kClamps = 8, kAdds = 16, kWraps = 32, kPlusOne = 64 };

s64 pick(u32 value, u32 position, u32 bits, bool is_signed) {
  const u32 field = value >> position & (bits == 32 ? ~u32{0} : (1u << bits) - 1);
  if (!is_signed) return field;
  return static_cast<s64>(static_cast<s32>(field << (32 - bits)) >> (32 - bits));
}
s64 clamp_to(s64 value, u32 bits, bool is_signed) {
  const s64 low = is_signed ? -(s64{1} << (bits - 1)) : 0;
  const s64 high = is_signed ? (s64{1} << (bits - 1)) - 1 : (s64{1} << bits) - 1;
  return std::clamp(value, low, high);
}
bool holds(Test test, s64 a, s64 b) {
  switch (test) {
    case Test::eq:
      return a == b;
    case Test::ne:
      return a != b;
    case Test::lt:
      return a < b;
    case Test::le:
      return a <= b;
    case Test::gt:
      return a > b;
    default:
      return a >= b;
  }
}
template <Op O>
s64 compute(s64 a, s64 b, Test test) {
  if constexpr (O == Op::add) return a + b;
  if constexpr (O == Op::sub) return a - b;
  if constexpr (O == Op::absdiff) return a < b ? b - a : a - b;
  if constexpr (O == Op::min) return std::min(a, b);
  if constexpr (O == Op::max) return std::max(a, b);
  if constexpr (O == Op::average) return (a + b + (a + b >= 0 ? 1 : 0)) >> 1;
  if constexpr (O == Op::set) return holds(test, a, b) ? 1 : 0;
  return 0;
}

/// Two halves or four bytes: operand c is what is added to, or what the parts outside the mask come from.
template <Op O>
void simd(Warp& w, const Insn& in, u32 mask) {
  const auto plan = std::bit_cast<Plan>(in.imm);
  u32* d = slots<u32>(w, in.d);
  const u32* a = slots<u32>(w, in.a);
  const u32* b = slots<u32>(w, in.b);
  const u32* c = slots<u32>(w, in.c);
  const u32 bits = 32u / plan.parts;
  const u32 part_mask = (1u << bits) - 1;
  const bool adds = (plan.flags & kAdds) != 0;
  const auto operand = [&](u32 x, u32 y, u32 select, u32 part, bool is_signed) {
    const u32 index = select >> 4 * part & 15;
    return pick(index >= plan.parts ? y : x, (index & (plan.parts - 1u)) * bits, bits, is_signed);
  };
  each_lane(mask, [&](u32 i) {
    u32 out = c[i];
    for (u32 part = 0; part < plan.parts; ++part) {
      if ((plan.mask >> part & 1) == 0) continue;
      s64 value = compute<O>(operand(a[i], b[i], plan.a_select, part, (plan.flags & kSignedA) != 0),
                             operand(a[i], b[i], plan.b_select, part, (plan.flags & kSignedB) != 0),
                             static_cast<Test>(plan.test));
      if ((plan.flags & kClamps) != 0) value = clamp_to(value, bits, (plan.flags & kSignedD) != 0);
      const u32 shift = part * bits;
      out = adds ? out + static_cast<u32>(value)
                 : (out & ~(part_mask << shift)) | (static_cast<u32>(value) & part_mask) << shift;
    }
    d[i] = out;
  });
}

/// One value. Insn::count: Second; Insn::target: bits << 8 | position of a merged result.
template <Op O>
void scalar(Warp& w, const Insn& in, u32 mask) {
  const auto plan = std::bit_cast<Plan>(in.imm);
  u32* d = slots<u32>(w, in.d);
  const u32* a = slots<u32>(w, in.a);
  const u32* b = slots<u32>(w, in.b);
  const u32* c = in.c != kNoRef ? slots<u32>(w, in.c) : a;
  const bool signed_d = (plan.flags & kSignedD) != 0;
  const u32 d_bits = in.target >> 8;
  const u32 d_position = in.target & 0xff;
  each_lane(mask, [&](u32 i) {
    const s64 x = pick(a[i], plan.a_select & 0xff, plan.a_select >> 8, (plan.flags & kSignedA) != 0);
    const s64 y = pick(b[i], plan.b_select & 0xff, plan.b_select >> 8, (plan.flags & kSignedB) != 0);
    s64 value = 0;
    if constexpr (O == Op::shl || O == Op::shr) {
      const auto n = static_cast<u32>((plan.flags & kWraps) != 0 ? y & 31 : std::min<s64>(y, 32));
      value = O == Op::shl ? static_cast<s64>(static_cast<u64>(x) << n) : x >> n;
    } else if constexpr (O == Op::mad) {
      __extension__ using Big = __int128;
      const s64 sum = signed_d ? static_cast<s64>(static_cast<s32>(c[i])) : static_cast<s64>(c[i]);
      Big wide = static_cast<Big>(x) * y + sum + ((plan.flags & kPlusOne) != 0 ? 1 : 0);
      wide >>= plan.mask;
      constexpr s64 kLow = std::numeric_limits<s64>::min();
      constexpr s64 kHigh = std::numeric_limits<s64>::max();
      value = wide < kLow ? kLow : wide > kHigh ? kHigh : static_cast<s64>(wide);
      if ((plan.flags & kClamps) == 0) value = static_cast<s64>(static_cast<u64>(wide));
    } else {
      value = compute<O>(x, y, static_cast<Test>(plan.test));
    }
    if ((plan.flags & kClamps) != 0) value = clamp_to(value, d_bits, signed_d);
    const auto bits = static_cast<u32>(value);
    const auto lesser = signed_d ? static_cast<s32>(bits) < static_cast<s32>(c[i]) : bits < c[i];
    switch (static_cast<Second>(in.count)) {
      case Second::add:
        d[i] = bits + c[i];
        break;
      case Second::min:
        d[i] = lesser ? bits : c[i];
        break;
      case Second::max:
        d[i] = lesser ? c[i] : bits;
        break;
      case Second::merge: {
        const u32 field = ((1u << d_bits) - 1) << d_position;
        d[i] = (c[i] & ~field) | (bits << d_position & field);
        break;
      }
      case Second::none:
        d[i] = bits;
        break;
    }
  });
}

struct Known {
  std::string_view name;
  Op op;
  Handler scalar;
  Handler simd;
};
constexpr Known kKnown[] = {
    {"vadd", Op::add, scalar<Op::add>, simd<Op::add>},
    {"vsub", Op::sub, scalar<Op::sub>, simd<Op::sub>},
    {"vabsdiff", Op::absdiff, scalar<Op::absdiff>, simd<Op::absdiff>},
    {"vmin", Op::min, scalar<Op::min>, simd<Op::min>},
    {"vmax", Op::max, scalar<Op::max>, simd<Op::max>},
    {"vavrg", Op::average, nullptr, simd<Op::average>},
    {"vset", Op::set, scalar<Op::set>, simd<Op::set>},
    {"vshl", Op::shl, scalar<Op::shl>, nullptr},
    {"vshr", Op::shr, scalar<Op::shr>, nullptr},
    {"vmad", Op::mad, scalar<Op::mad>, nullptr},
};

/// .h10, .b3210 and their like: a nibble for each part.
u32 simd_selector(Builder& b, std::string_view member, u32 parts, u32 otherwise) {
  if (member.empty()) return otherwise;
  b.need(member.size() == parts + 1 && member[0] == (parts == 2 ? 'h' : 'b'), "unexpected selector");
  u32 out = 0;
  for (u32 part = 0; part < parts; ++part) {
    const char digit = member[parts - part];
    b.need(digit >= '0' && digit < static_cast<char>('0' + 2 * parts), "unexpected selector");
    out |= static_cast<u32>(digit - '0') << 4 * part;
  }
  return out;
}
std::uint8_t simd_mask(Builder& b, std::string_view member, u32 parts) {
  if (member.empty()) return static_cast<std::uint8_t>((1u << parts) - 1);
  b.need(member.size() >= 2 && member[0] == (parts == 2 ? 'h' : 'b'), "unexpected mask");
  u32 out = 0;
  for (const char digit : member.substr(1)) {
    b.need(digit >= '0' && digit < static_cast<char>('0' + parts), "unexpected mask");
    out |= 1u << (digit - '0');
  }
  return static_cast<std::uint8_t>(out);
}
/// .b0 to .b3, .h0, .h1, or the whole register: bits << 8 | position.
u32 scalar_selector(Builder& b, std::string_view member) {
  if (member.empty()) return 32u << 8;
  b.need(member.size() == 2 && (member[0] == 'b' || member[0] == 'h'), "unexpected selector");
  const u32 bits = member[0] == 'b' ? 8 : 16;
  const auto index = static_cast<u32>(member[1] - '0');
  b.need(index < 32 / bits, "unexpected selector");
  return bits << 8 | index * bits;
}
ast::Operand whole(const ast::Operand& operand) {
  ast::Operand out = operand;
  out.member = {};
  return out;
}

std::uint8_t take_test(Builder& b, Words& w) {
  static constexpr std::string_view kTests[] = {"eq", "ne", "lt", "le", "gt", "ge"};
  for (std::uint8_t i = 0; i < 6; ++i) {
    if (w.take(kTests[i])) return i;
  }
  b.refuse("expected a comparison");
}

}  // namespace

bool decode_video(Builder& b, Words& w) {
  const auto& in = w.instruction();
  std::string_view name = in.opcode;
  u32 parts = 1;
  if (name.ends_with('2') || name.ends_with('4')) {
    parts = static_cast<u32>(name.back() - '0');
    name.remove_suffix(1);
  }
  const auto* known =
      std::find_if(std::begin(kKnown), std::end(kKnown), [&](const Known& k) { return k.name == name; });
  if (known == std::end(kKnown)) return false;
  const Handler run = parts == 1 ? known->scalar : known->simd;
  if (run == nullptr) return false;
  Plan plan;
  plan.parts = static_cast<std::uint8_t>(parts);
  const auto take_sign = [&](std::uint8_t flag) {
    const Type type = w.take_type();
    b.need(type == Type::u32 || type == Type::s32, "expected .u32 or .s32");
    if (type == Type::s32) plan.flags |= flag;
  };
  if (known->op != Op::set) take_sign(kSignedD);
  take_sign(kSignedA);
  take_sign(kSignedB);
  if (known->op == Op::set) plan.test = take_test(b, w);
  if (w.take("sat")) plan.flags |= kClamps;
  if (parts != 1) {
    if (w.take("add")) plan.flags |= kAdds;
    b.need_operands(4);
    b.need((plan.flags & kAdds) == 0 || in.operands[0].member.empty() || parts != 1, "unexpected mask");
    plan.mask = simd_mask(b, in.operands[0].member, parts);
    plan.a_select = static_cast<u16>(simd_selector(b, in.operands[1].member, parts, parts == 2 ? 0x10 : 0x3210));
    plan.b_select = static_cast<u16>(simd_selector(b, in.operands[2].member, parts, parts == 2 ? 0x32 : 0x7654));
    const Ref a = b.read(whole(in.operands[1]), Type::b32);
    const Ref c = b.read(whole(in.operands[2]), Type::b32);
    const Ref e = b.read(in.operands[3], Type::b32);
    b.emit(run, b.write(whole(in.operands[0]), Type::b32), a, c, e).imm = std::bit_cast<u64>(plan);
    return true;
  }
  Second second = Second::none;
  if (known->op == Op::mad) {
    plan.mask = w.take("shr7") ? 7 : w.take("shr15") ? 15 : 0;
    if (w.take("po")) plan.flags |= kPlusOne;
    b.need_operands(4);
  } else {
    if (known->op == Op::shl || known->op == Op::shr) {
      if (w.take("wrap")) {
        plan.flags |= kWraps;
      } else {
        b.need(w.take("clamp"), "expected .clamp or .wrap");
      }
    }
    if (!in.operands.empty() && !in.operands[0].member.empty()) second = Second::merge;
    if (w.take("add")) second = Second::add;
    if (w.take("min")) second = Second::min;
    if (w.take("max")) second = Second::max;
    b.need_operands(second == Second::none ? 3 : 4);
  }
  plan.a_select = static_cast<u16>(scalar_selector(b, in.operands[1].member));
  plan.b_select = static_cast<u16>(scalar_selector(b, in.operands[2].member));
  const Ref a = b.read(whole(in.operands[1]), Type::b32);
  const Ref c = b.read(whole(in.operands[2]), Type::b32);
  const Ref e = in.operands.size() == 4 ? b.read(in.operands[3], Type::b32) : kNoRef;
  Insn& insn = b.emit(run, b.write(whole(in.operands[0]), Type::b32), a, c, e);
  insn.imm = std::bit_cast<u64>(plan);
  insn.target = scalar_selector(b, in.operands[0].member);
  insn.count = static_cast<std::uint8_t>(second);
  return true;
}

}  // namespace vgpu::softgpu::ptx
