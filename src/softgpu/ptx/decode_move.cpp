#include <chrono>
#include <cstring>

#include "softgpu/ptx/builder.hpp"
#include "softgpu/ptx/lanes.hpp"

/// mov, cvta, isspacep and the reads that other decoders need.
namespace vgpu::softgpu::ptx {
namespace {

template <class T>
T same(T value) {
  return value;
}

template <class From, class To>
To extend(From value) {
  return static_cast<To>(value);
}

template <class T>
void local_address(Warp& w, const Insn& in, u32 mask) {
  auto* d = slots<T>(w, in.d);
  const auto value = static_cast<T>(w.local_base + in.imm);
  each_lane(mask, [&](u32 i) { d[i] = value; });
}

u64 nanoseconds() {
  return static_cast<u64>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count());
}
/// Cycles of a clock of 1 GHz, so that differences are nanoseconds.
u64 cycles() {
  return static_cast<u64>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
          .count());
}
template <class T, auto F, unsigned Shift>
void read_clock(Warp& w, const Insn& in, u32 mask) {
  auto* d = slots<T>(w, in.d);
  const auto value = static_cast<T>(F() >> Shift);
  each_lane(mask, [&](u32 i) { d[i] = value; });
}

void move_predicate(Warp& w, const Insn& in, u32 mask) { set_predicate(w, in.d, predicate(w, in.a), mask); }

/// One piece of a packed value: d |= a << imm, or d = a << imm for the first.
template <class D, class A, bool First>
void pack(Warp& w, const Insn& in, u32 mask) {
  auto* d = slots<D>(w, in.d);
  const auto* a = slots<A>(w, in.a);
  const D keep = sizeof(A) == 8 ? ~D{0} : static_cast<D>(in.b == 1 ? 0xffu : in.b == 2 ? 0xffffu : 0xffffffffu);
  each_lane(mask, [&](u32 i) {
    const D piece = static_cast<D>((static_cast<D>(a[i]) & keep) << in.imm);
    d[i] = First ? piece : static_cast<D>(d[i] | piece);
  });
}
template <class A>
void unpack(Warp& w, const Insn& in, u32 mask) {
  auto* d = slots<u32>(w, in.d);
  const auto* a = slots<A>(w, in.a);
  const u32 keep = in.b == 1 ? 0xffu : in.b == 2 ? 0xffffu : 0xffffffffu;
  each_lane(mask, [&](u32 i) { d[i] = static_cast<u32>(a[i] >> in.imm) & keep; });
}

/// Moves between one register and {parts}.
void decode_parts(Builder& b, const ast::Instruction& in, Type type) {
  const bool packs = in.operands[1].kind == ast::Operand::Kind::vector;
  const ast::Operand& vector = in.operands[packs ? 1 : 0];
  const ast::Operand& whole = in.operands[packs ? 0 : 1];
  const auto parts = static_cast<u32>(vector.items.size());
  const u32 bytes = bytes_of(type);
  b.need(parts == 2 || parts == 4, "expected 2 or 4 parts");
  b.need(bytes == 2 || bytes == 4 || bytes == 8, "this size is not carried here");
  const u32 part = bytes / parts;
  b.need(part >= 1, "the parts are too small");
  const Type part_type = part == 1 ? Type::b8 : part == 2 ? Type::b16 : Type::b32;
  const bool wide = bytes == 8;
  if (packs) {
    const Ref out = b.temporary(wide);  // the target may be one of the parts
    for (u32 i = 0; i < parts; ++i) {
      const Ref from = b.read(vector.items[i], part_type);
      const Handler run = wide ? (i == 0 ? pack<u64, u32, true> : pack<u64, u32, false>)
                               : (i == 0 ? pack<u32, u32, true> : pack<u32, u32, false>);
      Insn& insn = b.emit(run, out, from);
      insn.imm = u64{i} * part * 8;
      insn.b = part;
    }
    b.emit(wide ? Handler{unary<u64, u64, same<u64>>} : Handler{unary<u32, u32, same<u32>>}, b.write(whole, type), out);
    return;
  }
  Ref from = b.read(whole, type);
  const Ref copy = b.temporary(wide);
  b.emit(wide ? Handler{unary<u64, u64, same<u64>>} : Handler{unary<u32, u32, same<u32>>}, copy, from);
  from = copy;
  for (u32 i = 0; i < parts; ++i) {
    if (vector.items[i].kind == ast::Operand::Kind::name && vector.items[i].name == "_") continue;
    Insn& insn = b.emit(wide ? unpack<u64> : unpack<u32>, b.write(vector.items[i], part_type), from);
    insn.imm = u64{i} * part * 8;
    insn.b = part;
  }
}

u64 add_window(u64 a, u64 b) { return a + b; }
u64 sub_window(u64 a, u64 b) { return a - b; }

void decode_cvta(Builder& b, Words& w) {
  const auto& in = w.instruction();
  b.need_operands(2);
  const bool to = w.take("to");
  u64 window = 0;
  if (w.take("shared") || w.take("shared::cta") || w.take("shared::cluster")) {
    window = kSharedWindow;
  } else if (w.take("local")) {
    window = kLocalWindow;
  } else if (!w.take("global") && !w.take("const") && !w.take("param") && !w.take("param::entry")) {
    b.refuse("expected a state space");
  }
  const Type type = w.take_type();
  b.need(type == Type::u64, "only 64-bit addresses are carried");
  const Ref a = b.read(in.operands[1], type);
  const Ref d = b.write(in.operands[0], type);
  if (window == 0) {
    b.emit(unary<u64, u64, same<u64>>, d, a);
  } else {
    b.emit(to ? Handler{binary<u64, u64, u64, sub_window>} : Handler{binary<u64, u64, u64, add_window>}, d, a,
           b.constant(window, true));
  }
}

template <u64 Low, u64 Size, bool Inside>
void test_space(Warp& w, const Insn& in, u32 mask) {
  const u64* a = slots<u64>(w, in.a);
  set_predicate(w, in.d, collect([&](u32 i) { return (a[i] - Low < Size) == Inside; }), mask);
}

/// Constants lie in device memory like other variables: only their addresses tell.
void test_constant(Warp& w, const Insn& in, u32 mask) {
  const u64* a = slots<u64>(w, in.a);
  u32 inside = 0;
  for (const Variable& one : w.block->grid->program->variable_list) {
    if (one.constant) inside |= collect([&](u32 i) { return a[i] - one.address < one.bytes; });
  }
  set_predicate(w, in.d, inside, mask);
}

void decode_isspacep(Builder& b, Words& w) {
  const auto& in = w.instruction();
  b.need_operands(2);
  constexpr u64 kSpan = u64{1} << 32;
  Handler run = nullptr;
  if (w.take("shared") || w.take("shared::cta") || w.take("shared::cluster"))
    run = test_space<kSharedWindow, kSpan, true>;
  if (w.take("local")) run = test_space<kLocalWindow, kSpan, true>;
  if (w.take("param") || w.take("param::entry")) run = test_space<kParamWindow, kSpan, true>;
  if (w.take("global")) run = test_space<kSharedWindow, 3 * kSpan, false>;
  if (w.take("const")) run = test_constant;
  const Ref a = b.read(in.operands[1], Type::u64);
  b.need(in.operands[0].kind == ast::Operand::Kind::name, "expected a predicate");
  b.emit(run, b.write_predicate(in.operands[0].name), a);
}

}  // namespace

Handler extension_handler(Type narrow) noexcept {
  switch (narrow) {
    case Type::s8:
      return unary<u64, s8, extend<s8, u64>>;
    case Type::s16:
      return unary<u64, s16, extend<s16, u64>>;
    case Type::s32:
      return unary<u64, s32, extend<s32, u64>>;
    case Type::u8:
    case Type::b8:
      return unary<u64, u8, extend<u8, u64>>;
    case Type::u16:
    case Type::b16:
    case Type::f16:
    case Type::bf16:
      return unary<u64, u16, extend<u16, u64>>;
    default:
      return unary<u64, u32, extend<u32, u64>>;
  }
}
Handler narrowing_handler() noexcept { return unary<u32, u64, extend<u64, u32>>; }
Handler local_address_handler(bool wide) noexcept { return wide ? local_address<u64> : local_address<u32>; }

Handler special_handler(std::string_view name, bool& wide) noexcept {
  wide = name == "%clock64" || name == "%globaltimer";
  if (name == "%clock64") return read_clock<u64, cycles, 0>;
  if (name == "%clock") return read_clock<u32, cycles, 0>;
  if (name == "%clock_hi") return read_clock<u32, cycles, 32>;
  if (name == "%globaltimer") return read_clock<u64, nanoseconds, 0>;
  if (name == "%globaltimer_lo") return read_clock<u32, nanoseconds, 0>;
  if (name == "%globaltimer_hi") return read_clock<u32, nanoseconds, 32>;
  return nullptr;
}

bool decode_move(Builder& b, Words& w) {
  const auto& in = w.instruction();
  if (in.opcode == "cvta") return decode_cvta(b, w), true;
  if (in.opcode == "isspacep") return decode_isspacep(b, w), true;
  if (in.opcode == "mapa") {
    // A grid is made of clusters of one block: the address in block 0 of the cluster is the address itself.
    b.need_operands(3);
    w.take("shared::cluster");
    const Type type = w.take_type();
    const Ref a = b.read(in.operands[1], type);
    b.emit(bytes_of(type) == 8 ? Handler{unary<u64, u64, same<u64>>} : Handler{unary<u32, u32, same<u32>>},
           b.write(in.operands[0], type), a);
    return true;
  }
  if (in.opcode == "getctarank") {
    b.need_operands(2);
    w.take("shared::cluster");
    const Type type = w.take_type();
    b.need(type == Type::u32 || type == Type::u64, "expected .u32 or .u64");
    b.read(in.operands[1], type);
    b.emit(unary<u32, u32, same<u32>>, b.write(in.operands[0], Type::u32), b.constant(0, false));
    return true;
  }
  if (in.opcode != "mov") return false;
  b.need_operands(2);
  const Type type = w.take_type();
  if (type == Type::pred) {
    b.need(in.operands[0].kind == ast::Operand::Kind::name, "expected a predicate");
    const Ref a = b.read_predicate(in.operands[1]);
    b.need(!in.operands[1].inverted, "an inverted predicate can't be moved");
    b.emit(move_predicate, b.write_predicate(in.operands[0].name), a);
    return true;
  }
  b.need(type != Type::none && bytes_of(type) <= 8, "this type is not carried here");
  if (in.operands[0].kind == ast::Operand::Kind::vector || in.operands[1].kind == ast::Operand::Kind::vector) {
    b.need(in.operands[0].kind != in.operands[1].kind, "expected one vector");
    decode_parts(b, in, type);
    return true;
  }
  // mov reg, var + offset: the offset belongs to the variable; a register takes none.
  const Ref a = b.read(in.operands[1], type);
  const Ref d = b.write(in.operands[0], type);
  b.emit(bytes_of(type) == 8 ? Handler{unary<u64, u64, same<u64>>} : Handler{unary<u32, u32, same<u32>>}, d, a);
  return true;
}

}  // namespace vgpu::softgpu::ptx
