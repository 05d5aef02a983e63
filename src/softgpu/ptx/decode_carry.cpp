#include "softgpu/ptx/builder.hpp"
#include "softgpu/ptx/lanes.hpp"

/// add.cc, addc, sub.cc, subc, mad.cc, madc (PTX ISA, "Extended-Precision Integer Arithmetic Instructions"). The carry
/// flag is a predicate of the function. A subtraction adds the complement, as the hardware does: after it, the flag
/// says that nothing was borrowed. nvcc relies on that in the division of 128-bit integers, where addc reads what
/// sub.cc left.
namespace vgpu::softgpu::ptx {
namespace {

enum class Op { add, sub, mad_lo, mad_hi };
__extension__ using SignedBig = __int128;
__extension__ using UnsignedBig = unsigned __int128;

template <class T>
std::make_unsigned_t<T> high_product(T a, T b) {
  using U = std::make_unsigned_t<T>;
  using Big = std::conditional_t<sizeof(T) == 4, std::conditional_t<std::is_signed_v<T>, s64, u64>,
                                 std::conditional_t<std::is_signed_v<T>, SignedBig, UnsignedBig>>;
  return static_cast<U>((static_cast<Big>(a) * static_cast<Big>(b)) >> (8 * sizeof(T)));
}

/// e: the carry flag. flags: bit 0 adds the carry in, bit 1 gives the carry out.
template <class T, Op O>
void with_carry(Warp& w, const Insn& in, u32 mask) {
  using U = std::make_unsigned_t<T>;
  auto* d = slots<U>(w, in.d);
  const auto* a = slots<U>(w, in.a);
  const auto* b = slots<U>(w, in.b);
  const auto* c = (O == Op::mad_lo || O == Op::mad_hi) ? slots<U>(w, in.c) : b;
  u32& flag = predicate(w, in.e);
  u32 out = 0;
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const auto i = static_cast<u32>(std::countr_zero(rest));
    U x = get<U>(a[i]);
    U y = get<U>(b[i]);
    if constexpr (O == Op::mad_lo) {
      x = static_cast<U>(x * y);
      y = get<U>(c[i]);
    } else if constexpr (O == Op::mad_hi) {
      x = high_product<T>(static_cast<T>(x), static_cast<T>(y));
      y = get<U>(c[i]);
    }
    if constexpr (O == Op::sub) y = static_cast<U>(~y);
    const U carry = (in.flags & 1) != 0 ? flag >> i & 1 : (O == Op::sub ? 1 : 0);
    U result = 0;
    bool over = __builtin_add_overflow(x, y, &result);
    over |= __builtin_add_overflow(result, carry, &result);
    d[i] = put<U>(result);
    out |= over ? 1u << i : 0u;
  }
  if ((in.flags & 2) != 0) flag = (flag & ~mask) | out;
}

template <Op O>
Handler pick(Type type) {
  switch (type) {
    case Type::u32:
    case Type::b32:
      return with_carry<u32, O>;
    case Type::s32:
      return with_carry<s32, O>;
    case Type::u64:
    case Type::b64:
      return with_carry<u64, O>;
    case Type::s64:
      return with_carry<s64, O>;
    default:
      return nullptr;
  }
}

}  // namespace

bool decode_carry(Builder& b, Words& w) {
  const auto& in = w.instruction();
  const std::string_view op = in.opcode;
  const bool adds = op == "add" || op == "addc";
  const bool subtracts = op == "sub" || op == "subc";
  const bool mads = op == "mad" || op == "madc";
  if (!adds && !subtracts && !mads) return false;
  const bool takes_carry = op == "addc" || op == "subc" || op == "madc";
  const bool gives_carry = w.take("cc");
  if (!takes_carry && !gives_carry) return false;
  const bool hi = mads && w.take("hi");
  if (mads && !hi) b.need(w.take("lo"), "expected .lo or .hi");
  const Type type = w.take_type();
  b.need_operands(mads ? 4 : 3);
  const Handler run = adds        ? pick<Op::add>(type)
                      : subtracts ? pick<Op::sub>(type)
                      : hi        ? pick<Op::mad_hi>(type)
                                  : pick<Op::mad_lo>(type);
  const Ref a = b.read(in.operands[1], type);
  const Ref c = b.read(in.operands[2], type);
  const Ref e = mads ? b.read(in.operands[3], type) : kNoRef;
  b.emit(run, b.write(in.operands[0], type), a, c, e, b.carry_flag()).flags =
      static_cast<std::uint8_t>((takes_carry ? 1 : 0) | (gives_carry ? 2 : 0));
  return true;
}

}  // namespace vgpu::softgpu::ptx
