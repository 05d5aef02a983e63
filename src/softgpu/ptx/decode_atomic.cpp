#include <cmath>

#include "softgpu/ptx/builder.hpp"
#include "softgpu/ptx/memory_access.hpp"

/// atom and red (PTX ISA, "Parallel Synchronization and Communication Instructions"). Blocks run on several threads of
/// the host, so each operation is an atomic one of the host, sequentially consistent: stronger than any PTX asks for.
namespace vgpu::softgpu::ptx {
namespace {

enum class Op { add, min, max, bit_and, bit_or, bit_xor, exchange, increment, decrement, swap_if };

template <class T, Op O>
T combine(T old, T value) noexcept {
  if constexpr (O == Op::min) return value < old ? value : old;
  if constexpr (O == Op::max) return value > old ? value : old;
  if constexpr (O == Op::increment) return old >= value ? T{0} : static_cast<T>(old + 1);
  if constexpr (O == Op::decrement) return old == 0 || old > value ? value : static_cast<T>(old - 1);
  return old;
}

template <class T, Op O>
T apply(T* at, T value, T other) noexcept {
  if constexpr (O == Op::add) return __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST);
  if constexpr (O == Op::bit_and) return __atomic_fetch_and(at, value, __ATOMIC_SEQ_CST);
  if constexpr (O == Op::bit_or) return __atomic_fetch_or(at, value, __ATOMIC_SEQ_CST);
  if constexpr (O == Op::bit_xor) return __atomic_fetch_xor(at, value, __ATOMIC_SEQ_CST);
  if constexpr (O == Op::exchange) return __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST);
  if constexpr (O == Op::swap_if) {
    T expected = value;
    __atomic_compare_exchange_n(at, &expected, other, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return expected;
  }
  T old = __atomic_load_n(at, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(at, &old, combine<T, O>(old, value), true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
  }
  return old;
}

/// a: address, b: value, c: the other value of cas, d: the old value (kNoRef: red).
template <class T, Op O, Space S>
void atomic(Warp& w, const Insn& in, u32 mask) {
  Lanes at;
  if (!locate<S>(w, in, mask, sizeof(T), true, at)) return;
  const auto* b = slots<T>(w, in.b);
  const auto* c = O == Op::swap_if ? slots<T>(w, in.c) : b;
  SlotOf<T>* d = in.d != kNoRef ? slots<T>(w, in.d) : nullptr;
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const auto i = static_cast<u32>(std::countr_zero(rest));
    const T old = apply<T, O>(reinterpret_cast<T*>(at.pointer[i]), get<T>(b[i]), get<T>(c[i]));
    if (d != nullptr) d[i] = put<T>(old);
  }
}

// Floating values: replace the bits if nobody else has. The functions give new bits for old bits and operand.
u32 add_f32(u32 old, u32 value) noexcept {
  const float sum = std::bit_cast<float>(old) + std::bit_cast<float>(value);
  return sum != sum ? 0x7fffffffu : std::bit_cast<u32>(sum);
}
u64 add_f64(u64 old, u64 value) noexcept {
  return std::bit_cast<u64>(std::bit_cast<double>(old) + std::bit_cast<double>(value));
}
enum class Extreme { add, min, max };
template <class H, Extreme E>
u16 half_step(u16 old, u16 value) noexcept {
  const float a = to_float(H{old});
  const float b = to_float(H{value});
  if constexpr (E == Extreme::add) return narrow<H>(static_cast<double>(a) + static_cast<double>(b)).bits;
  if (a != a) return b != b ? u16{0x7fff} : value;
  if (b != b) return old;
  const bool old_first = a < b || (a == b && std::signbit(a));
  return old_first == (E == Extreme::min) ? old : value;
}
template <class H, Extreme E>
u32 pair_step(u32 old, u32 value) noexcept {
  const u32 low = half_step<H, E>(static_cast<u16>(old), static_cast<u16>(value));
  const u32 high = half_step<H, E>(static_cast<u16>(old >> 16), static_cast<u16>(value >> 16));
  return low | high << 16;
}

template <class T, auto F, Space S>
void replace(Warp& w, const Insn& in, u32 mask) {
  Lanes at;
  if (!locate<S>(w, in, mask, sizeof(T), true, at)) return;
  const auto* b = slots<T>(w, in.b);
  SlotOf<T>* d = in.d != kNoRef ? slots<T>(w, in.d) : nullptr;
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const auto i = static_cast<u32>(std::countr_zero(rest));
    T* to = reinterpret_cast<T*>(at.pointer[i]);
    T old = __atomic_load_n(to, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(to, &old, F(old, static_cast<T>(b[i])), true, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED)) {
    }
    if (d != nullptr) d[i] = old;
  }
}

/// Touches nothing, but faults where a vector of `target` bytes may not lie.
template <Space S>
void check_vector(Warp& w, const Insn& in, u32 mask) {
  Lanes at;
  (void)locate<S>(w, in, mask, in.target, true, at);
}
template <class T>
T same(T value) {
  return value;
}

template <class F>
Handler by_space(Space space, F f) {
  switch (space) {
    case Space::global:
      return f.template operator()<Space::global>();
    case Space::shared:
      return f.template operator()<Space::shared>();
    case Space::generic:
      return f.template operator()<Space::generic>();
    default:
      return nullptr;
  }
}

template <class T, Op O>
Handler whole(Space space) {
  return by_space(space, []<Space S>() -> Handler { return atomic<T, O, S>; });
}
template <class T, auto F>
Handler replacing(Space space) {
  return by_space(space, []<Space S>() -> Handler { return replace<T, F, S>; });
}

Handler pick(std::string_view op, Type type, Space space) {
  const bool wide = bytes_of(type) == 8;
  if (op == "exch")
    return is_untyped(type) && bytes_of(type) >= 4
               ? (wide ? whole<u64, Op::exchange>(space) : whole<u32, Op::exchange>(space))
               : nullptr;
  if (op == "cas") {
    if (type == Type::b16) return whole<u16, Op::swap_if>(space);
    return is_untyped(type) && bytes_of(type) >= 4
               ? (wide ? whole<u64, Op::swap_if>(space) : whole<u32, Op::swap_if>(space))
               : nullptr;
  }
  if (op == "and" || op == "or" || op == "xor") {
    if (type != Type::b32 && type != Type::b64) return nullptr;
    if (op == "and") return wide ? whole<u64, Op::bit_and>(space) : whole<u32, Op::bit_and>(space);
    if (op == "or") return wide ? whole<u64, Op::bit_or>(space) : whole<u32, Op::bit_or>(space);
    return wide ? whole<u64, Op::bit_xor>(space) : whole<u32, Op::bit_xor>(space);
  }
  if (op == "inc") return type == Type::u32 ? whole<u32, Op::increment>(space) : nullptr;
  if (op == "dec") return type == Type::u32 ? whole<u32, Op::decrement>(space) : nullptr;
  switch (type) {
    case Type::u32:
      return op == "add"   ? whole<u32, Op::add>(space)
             : op == "min" ? whole<u32, Op::min>(space)
                           : whole<u32, Op::max>(space);
    case Type::s32:
      return op == "add"   ? whole<u32, Op::add>(space)
             : op == "min" ? whole<s32, Op::min>(space)
                           : whole<s32, Op::max>(space);
    case Type::u64:
      return op == "add"   ? whole<u64, Op::add>(space)
             : op == "min" ? whole<u64, Op::min>(space)
                           : whole<u64, Op::max>(space);
    case Type::s64:
      return op == "add"   ? whole<u64, Op::add>(space)
             : op == "min" ? whole<s64, Op::min>(space)
                           : whole<s64, Op::max>(space);
    case Type::f32:
      return op == "add" ? replacing<u32, add_f32>(space) : nullptr;
    case Type::f64:
      return op == "add" ? replacing<u64, add_f64>(space) : nullptr;
    case Type::f16:
      return op == "add" ? replacing<u16, half_step<Half, Extreme::add>>(space) : nullptr;
    case Type::bf16:
      return op == "add" ? replacing<u16, half_step<Brain, Extreme::add>>(space) : nullptr;
    case Type::f16x2:
      return op == "add"   ? replacing<u32, pair_step<Half, Extreme::add>>(space)
             : op == "min" ? replacing<u32, pair_step<Half, Extreme::min>>(space)
                           : replacing<u32, pair_step<Half, Extreme::max>>(space);
    case Type::bf16x2:
      return op == "add"   ? replacing<u32, pair_step<Brain, Extreme::add>>(space)
             : op == "min" ? replacing<u32, pair_step<Brain, Extreme::min>>(space)
                           : replacing<u32, pair_step<Brain, Extreme::max>>(space);
    default:
      return nullptr;
  }
}

}  // namespace

bool decode_atomic(Builder& b, Words& w) {
  const auto& in = w.instruction();
  const bool returns = in.opcode == "atom";
  if (!returns && in.opcode != "red") return false;
  if (w.has("async")) return false;  // of another block's shared memory
  for (const std::string_view word :
       {"relaxed", "acquire", "release", "acq_rel", "sc", "cta", "cluster", "gpu", "sys", "noftz"}) {
    w.take(word);
  }
  const Space space = take_space(w);
  std::string_view op;
  for (const std::string_view word : {"add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec"}) {
    if (op.empty() && w.take(word)) op = word;
  }
  b.need(!op.empty(), "this operation is not carried");
  const u32 count = w.take("v2") ? 2 : w.take("v4") ? 4 : w.take("v8") ? 8 : 1;
  const Type type = w.take_type();
  b.need(type != Type::none && bytes_of(type) <= 8, "this type is not carried here");
  const u32 bytes = count * bytes_of(type);
  b.need(count == 1 || (is_float(type) && type != Type::f64 && bytes <= 16 && space == Space::global),
         "a vector of this type is not carried here");
  const bool policy = w.take("L2::cache_hint");
  const Handler run = pick(op, type, space);
  const bool two = op == "cas";
  const std::size_t first = returns ? 1 : 0;
  b.need_operands(first + (two ? 3 : 2) + (policy ? 1 : 0));
  const Address address = b.address(in.operands[first]);
  b.need(address.kind == Address::Kind::computed, "this space is not carried here");
  const auto place = [&](Insn& insn, Ref at, u64 offset) {
    insn.a = at;
    insn.imm = offset;
    insn.flags = address.wide ? kWideAddress : 0;
  };
  if (count == 1) {
    const Ref value = b.read(in.operands[first + 1], type);
    const Ref other = two ? b.read(in.operands[first + 2], type) : kNoRef;
    const Ref d = returns ? b.write(in.operands[0], type) : kNoRef;
    place(b.emit(run, d, kNoRef, value, other), address.ref, address.offset);
    return true;
  }
  // A vector is atomic element by element. Its targets may hold its address, so they are written last.
  const ast::Operand& from = in.operands[first + 1];
  b.need(from.kind == ast::Operand::Kind::vector && from.items.size() == count, "expected as many values");
  b.need(!returns || (in.operands[0].kind == ast::Operand::Kind::vector && in.operands[0].items.size() == count),
         "expected as many targets");
  Insn& check = b.emit(check_vector<Space::global>);
  place(check, address.ref, address.offset);
  check.target = bytes;
  Ref olds[8] = {};
  for (u32 k = 0; k < count; ++k) {
    const Ref value = b.read(from.items[k], type);
    olds[k] = returns ? b.temporary(false) : kNoRef;
    place(b.emit(run, olds[k], kNoRef, value), address.ref, address.offset + u64{k} * bytes_of(type));
  }
  for (u32 k = 0; returns && k < count; ++k) {
    b.emit(unary<u32, u32, same<u32>>, b.write(in.operands[0].items[k], type), olds[k]);
  }
  return true;
}

}  // namespace vgpu::softgpu::ptx
