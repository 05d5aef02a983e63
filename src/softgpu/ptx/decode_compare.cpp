#include <cmath>

#include "softgpu/ptx/builder.hpp"
#include "softgpu/ptx/lanes.hpp"

/// setp, set, selp, slct, testp (PTX ISA, "Comparison and Selection Instructions").
namespace vgpu::softgpu::ptx {
namespace {

enum class Compare : std::uint8_t { eq, ne, lt, le, gt, ge, equ, neu, ltu, leu, gtu, geu, num, nan, none };

Compare compare_from(std::string_view word, bool floating, Type type) noexcept {
  if (word == "eq") return Compare::eq;
  if (word == "ne") return Compare::ne;
  if (word == "lt") return Compare::lt;
  if (word == "le") return Compare::le;
  if (word == "gt") return Compare::gt;
  if (word == "ge") return Compare::ge;
  if (floating) {
    if (word == "equ") return Compare::equ;
    if (word == "neu") return Compare::neu;
    if (word == "ltu") return Compare::ltu;
    if (word == "leu") return Compare::leu;
    if (word == "gtu") return Compare::gtu;
    if (word == "geu") return Compare::geu;
    if (word == "num") return Compare::num;
    if (word == "nan") return Compare::nan;
  } else if (!is_signed(type)) {
    if (word == "lo") return Compare::lt;
    if (word == "ls") return Compare::le;
    if (word == "hi") return Compare::gt;
    if (word == "hs") return Compare::ge;
  }
  return Compare::none;
}

template <Compare C, class T>
bool holds(T a, T b) noexcept {
  if constexpr (C == Compare::eq) return a == b;
  if constexpr (C == Compare::ne) return a < b || a > b;
  if constexpr (C == Compare::lt) return a < b;
  if constexpr (C == Compare::le) return a <= b;
  if constexpr (C == Compare::gt) return a > b;
  if constexpr (C == Compare::ge) return a >= b;
  if constexpr (C == Compare::equ) return !(a < b) && !(a > b);
  if constexpr (C == Compare::neu) return !(a == b);
  if constexpr (C == Compare::ltu) return !(a >= b);
  if constexpr (C == Compare::leu) return !(a > b);
  if constexpr (C == Compare::gtu) return !(a <= b);
  if constexpr (C == Compare::geu) return !(a < b);
  if constexpr (C == Compare::num) return a == a && b == b;
  if constexpr (C == Compare::nan) return a != a || b != b;
}

template <class T>
struct Plain {
  using Operand = T;
  static T value(T a) noexcept { return a; }
};
struct Flushed {
  using Operand = float;
  static float value(float a) noexcept { return std::fabs(a) < 0x1p-126f ? std::copysign(0.0f, a) : a; }
};
template <class H>
struct Widened {
  using Operand = H;
  static float value(H a) noexcept { return to_float(a); }
};

/// d = result combined with c, b = the opposite combined with c. flags: how.
enum Combine : std::uint8_t { kPlain, kAnd, kOr, kXor, kCombineMask = 3, kInvertThird = 4 };

u32 combined(const Warp& w, const Insn& in, u32 value) noexcept {
  const u32 how = in.flags & kCombineMask;
  if (how == kPlain) return value;
  const u32 third = predicate(w, in.c) ^ ((in.flags & kInvertThird) != 0 ? kAllLanes : 0u);
  return how == kAnd ? value & third : how == kOr ? value | third : value ^ third;
}

template <class V, Compare C>
void setp(Warp& w, const Insn& in, u32 mask) {
  using T = typename V::Operand;
  const auto* a = slots<T>(w, in.a);
  const auto* b = slots<T>(w, in.b);
  const u32 value = collect([&](u32 i) __attribute__((always_inline)) {
    return holds<C>(V::value(get<T>(a[i])), V::value(get<T>(b[i])));
  });
  // Both targets may be the source of the combination, so both are computed first.
  const u32 first = combined(w, in, value);
  const u32 second = combined(w, in, ~value);
  set_predicate(w, in.d, first, mask);
  set_predicate(w, in.e, second, mask);
}

template <class V, class Lower, Compare C>
void setp_pair(Warp& w, const Insn& in, u32 mask) {
  const u32* a = slots<u32>(w, in.a);
  const u32* b = slots<u32>(w, in.b);
  const auto part = [&](unsigned shift) {
    return collect([&](u32 i) {
      return holds<C>(V::value(Lower{static_cast<u16>(a[i] >> shift)}),
                      V::value(Lower{static_cast<u16>(b[i] >> shift)}));
    });
  };
  const u32 low = combined(w, in, part(0));
  const u32 high = combined(w, in, part(16));
  set_predicate(w, in.d, low, mask);
  set_predicate(w, in.e, high, mask);
}

template <class V>
Handler setp_handler(Compare compare, bool floating) {
  switch (compare) {
    case Compare::eq:
      return setp<V, Compare::eq>;
    case Compare::ne:
      return setp<V, Compare::ne>;
    case Compare::lt:
      return setp<V, Compare::lt>;
    case Compare::le:
      return setp<V, Compare::le>;
    case Compare::gt:
      return setp<V, Compare::gt>;
    case Compare::ge:
      return setp<V, Compare::ge>;
    default:
      break;
  }
  if (!floating) return nullptr;
  switch (compare) {
    case Compare::equ:
      return setp<V, Compare::equ>;
    case Compare::neu:
      return setp<V, Compare::neu>;
    case Compare::ltu:
      return setp<V, Compare::ltu>;
    case Compare::leu:
      return setp<V, Compare::leu>;
    case Compare::gtu:
      return setp<V, Compare::gtu>;
    case Compare::geu:
      return setp<V, Compare::geu>;
    case Compare::num:
      return setp<V, Compare::num>;
    case Compare::nan:
      return setp<V, Compare::nan>;
    default:
      return nullptr;
  }
}

template <class H>
Handler pair_handler(Compare compare) {
  using V = Widened<H>;
  switch (compare) {
    case Compare::eq:
      return setp_pair<V, H, Compare::eq>;
    case Compare::ne:
      return setp_pair<V, H, Compare::ne>;
    case Compare::lt:
      return setp_pair<V, H, Compare::lt>;
    case Compare::le:
      return setp_pair<V, H, Compare::le>;
    case Compare::gt:
      return setp_pair<V, H, Compare::gt>;
    case Compare::ge:
      return setp_pair<V, H, Compare::ge>;
    case Compare::equ:
      return setp_pair<V, H, Compare::equ>;
    case Compare::neu:
      return setp_pair<V, H, Compare::neu>;
    case Compare::ltu:
      return setp_pair<V, H, Compare::ltu>;
    case Compare::leu:
      return setp_pair<V, H, Compare::leu>;
    case Compare::gtu:
      return setp_pair<V, H, Compare::gtu>;
    case Compare::geu:
      return setp_pair<V, H, Compare::geu>;
    case Compare::num:
      return setp_pair<V, H, Compare::num>;
    case Compare::nan:
      return setp_pair<V, H, Compare::nan>;
    default:
      return nullptr;
  }
}

Handler compare_handler(Type type, Compare compare, bool flush) {
  switch (type) {
    case Type::f32:
      return flush ? setp_handler<Flushed>(compare, true) : setp_handler<Plain<float>>(compare, true);
    case Type::f64:
      return setp_handler<Plain<double>>(compare, true);
    case Type::f16:
      return setp_handler<Widened<Half>>(compare, true);
    case Type::bf16:
      return setp_handler<Widened<Brain>>(compare, true);
    case Type::f16x2:
      return pair_handler<Half>(compare);
    case Type::bf16x2:
      return pair_handler<Brain>(compare);
    default:
      return for_words(type, [&]<class T>() -> Handler { return setp_handler<Plain<T>>(compare, false); });
  }
}

/// set: a value in place of a predicate. a: the predicate; b, c: the values for true and false.
template <class T>
void select(Warp& w, const Insn& in, u32 mask) {
  auto* d = slots<T>(w, in.d);
  const auto* a = slots<T>(w, in.a);
  const auto* b = slots<T>(w, in.b);
  const u32 which = predicate(w, in.c);
  each_lane(mask, [&](u32 i) { d[i] = (which >> i & 1) != 0 ? a[i] : b[i]; });
}
Handler select_handler(bool wide) { return wide ? select<u64> : select<u32>; }

template <class T, class S>
void select_by_sign(Warp& w, const Insn& in, u32 mask) {
  auto* d = slots<T>(w, in.d);
  const auto* a = slots<T>(w, in.a);
  const auto* b = slots<T>(w, in.b);
  const auto* c = slots<S>(w, in.c);
  each_lane(mask, [&](u32 i) { d[i] = get<S>(c[i]) >= 0 ? a[i] : b[i]; });
}

template <class T, int Kind>
void testp(Warp& w, const Insn& in, u32 mask) {
  const auto* a = slots<T>(w, in.a);
  const u32 value = collect([&](u32 i) {
    const int kind = std::fpclassify(get<T>(a[i]));
    if constexpr (Kind == 0) return kind != FP_NAN && kind != FP_INFINITE;
    if constexpr (Kind == 1) return kind == FP_INFINITE;
    if constexpr (Kind == 2) return kind != FP_NAN;
    if constexpr (Kind == 3) return kind == FP_NAN;
    if constexpr (Kind == 4) return kind == FP_NORMAL;
    return kind == FP_SUBNORMAL;
  });
  set_predicate(w, in.d, value, mask);
}
template <class T>
Handler testp_handler(std::string_view what) {
  if (what == "finite") return testp<T, 0>;
  if (what == "infinite") return testp<T, 1>;
  if (what == "number") return testp<T, 2>;
  if (what == "notanumber") return testp<T, 3>;
  if (what == "normal") return testp<T, 4>;
  if (what == "subnormal") return testp<T, 5>;
  return nullptr;
}

void decode_set(Builder& b, Words& w, bool to_predicate) {
  const auto& in = w.instruction();
  const std::string_view word = w.take_any();
  std::uint8_t how = kPlain;
  if (w.take("and")) how = kAnd;
  if (w.take("or")) how = kOr;
  if (w.take("xor")) how = kXor;
  b.need_operands(how == kPlain ? 3 : 4);
  const bool flush = w.take("ftz");
  const Type result = to_predicate ? Type::pred : w.take_type();
  const Type type = w.take_type();
  b.need(type != Type::none && type != Type::pred, "expected a type");
  const Compare compare = compare_from(word, is_float(type), type);
  b.need(compare != Compare::none, "this comparison is not carried here");
  const Handler run = compare_handler(type, compare, flush);
  const Ref a = b.read(in.operands[1], type);
  const Ref c = b.read(in.operands[2], type);
  Ref third = kNoRef;
  if (how != kPlain) {
    third = b.read_predicate(in.operands[3]);
    if (in.operands[3].inverted) how |= kInvertThird;
  }
  if (to_predicate) {
    b.need(in.operands[0].kind == ast::Operand::Kind::name, "expected a predicate");
    const bool pair = type == Type::f16x2 || type == Type::bf16x2;
    b.need(!pair || !in.operands[0].second.empty(), "expected two predicates");
    const Ref d = b.write_predicate(in.operands[0].name);
    const Ref e = b.write_predicate(in.operands[0].second);
    b.emit(run, d, a, c, third, e).flags = how;
    return;
  }
  const Ref d = b.write(in.operands[0], result);
  const bool wide = bytes_of(result) == 8;
  if (type == Type::f16x2 || type == Type::bf16x2) {
    b.need(result == type || result == Type::u32 || result == Type::s32 || result == Type::b32,
           "this result is not carried");
    const Ref low = b.temporary_predicate();
    const Ref high = b.temporary_predicate();
    b.emit(run, low, a, c, third, high).flags = how;
    const u32 one = result == Type::f16x2 ? 0x3c00u : result == Type::bf16x2 ? 0x3f80u : 0xffffu;
    const Ref part = b.temporary(false);
    const Ref both = b.temporary(false);
    b.emit(select_handler(false), part, b.constant(one, false), b.constant(0, false), low);
    b.emit(select_handler(false), both, b.constant(one << 16, false), b.constant(0, false), high);
    b.emit(binary<u32, u32, u32, [](u32 x, u32 y) { return x | y; }>, d, part, both);
    return;
  }
  const Ref value = b.temporary_predicate();
  b.emit(run, value, a, c, third).flags = how;
  const u64 yes = result == Type::f32    ? 0x3f800000u
                  : result == Type::f16  ? 0x3c00u
                  : result == Type::bf16 ? 0x3f80u
                                         : ~u64{0} >> (64 - 8 * bytes_of(result));
  b.need(result == Type::f32 || result == Type::f16 || result == Type::bf16 || !is_float(result),
         "this result is not carried");
  b.emit(select_handler(wide), d, b.constant(yes, wide), b.constant(0, wide), value);
}

}  // namespace

bool decode_compare(Builder& b, Words& w) {
  const auto& in = w.instruction();
  if (in.opcode == "setp" || in.opcode == "set") {
    b.need(!w.left().empty(), "expected a comparison");
    decode_set(b, w, in.opcode == "setp");
    return true;
  }
  if (in.opcode == "selp") {
    b.need_operands(4);
    const Type type = w.take_type();
    b.need(type != Type::none && type != Type::pred && bytes_of(type) <= 8, "this type is not carried here");
    const Ref a = b.read(in.operands[1], type);
    const Ref c = b.read(in.operands[2], type);
    const Ref which = b.read_predicate(in.operands[3]);
    if (in.operands[3].inverted) {
      b.emit(select_handler(bytes_of(type) == 8), b.write(in.operands[0], type), c, a, which);
    } else {
      b.emit(select_handler(bytes_of(type) == 8), b.write(in.operands[0], type), a, c, which);
    }
    return true;
  }
  if (in.opcode == "slct") {
    b.need_operands(4);
    const bool flushes = w.take("ftz");
    const Type type = w.take_type();
    const Type by = w.take_type();
    b.need(type != Type::none && bytes_of(type) <= 8, "this type is not carried here");
    b.need(by == Type::s32 || by == Type::f32, "expected .s32 or .f32");
    b.need(!flushes || by == Type::f32, "this modifier is not carried here");
    const Ref a = b.read(in.operands[1], type);
    const Ref c = b.read(in.operands[2], type);
    const Ref which = b.read(in.operands[3], by);
    const bool wide = bytes_of(type) == 8;
    const Handler run = by == Type::s32 ? (wide ? select_by_sign<u64, s32> : select_by_sign<u32, s32>)
                                        : (wide ? select_by_sign<u64, float> : select_by_sign<u32, float>);
    Ref sign = which;
    if (flushes) {
      sign = b.temporary(false);
      b.emit(unary<float, float, Flushed::value>, sign, which);
    }
    b.emit(run, b.write(in.operands[0], type), a, c, sign);
    return true;
  }
  if (in.opcode == "testp") {
    b.need_operands(2);
    const std::string_view what = w.take_any();
    const Type type = w.take_type();
    b.need(type == Type::f32 || type == Type::f64, "expected .f32 or .f64");
    const Ref a = b.read(in.operands[1], type);
    b.emit(type == Type::f32 ? testp_handler<float>(what) : testp_handler<double>(what),
           b.write_predicate(in.operands[0].name), a);
    return true;
  }
  return false;
}

}  // namespace vgpu::softgpu::ptx
