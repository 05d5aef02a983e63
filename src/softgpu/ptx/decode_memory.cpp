#include <emmintrin.h>

#include <bit>
#include <cstring>

#include "softgpu/ptx/builder.hpp"
#include "softgpu/ptx/lanes.hpp"
#include "softgpu/ptx/memory_access.hpp"

/// ld, st and what only hints (PTX ISA, "Data Movement and Conversion Instructions").
namespace vgpu::softgpu::ptx {
namespace {

template <class M>
using Raw = std::conditional_t<sizeof(M) == 1, u8,
                               std::conditional_t<sizeof(M) == 2, u16, std::conditional_t<sizeof(M) == 4, u32, u64>>>;

template <class M>
SlotOf<M> fetch(const std::byte* from) noexcept {
  // One access of natural size: other threads may write there.
  return put<M>(static_cast<M>(__atomic_load_n(reinterpret_cast<const Raw<M>*>(from), __ATOMIC_RELAXED)));
}
template <class M>
void keep(std::byte* to, SlotOf<M> value) noexcept {
  __atomic_store_n(reinterpret_cast<Raw<M>*>(to), static_cast<Raw<M>>(value), __ATOMIC_RELAXED);
}

/// Moves a vector of up to 16 bytes as one access, as a GPU does where it is aligned: CUB's look-back between blocks
/// keeps a value and its state in one. A longer one goes in pieces of 16. (Aligned accesses of 16 bytes are atomic on
/// every x86 processor with AVX: Intel SDM volume 3, "Guaranteed Atomic Operations"; AMD APM volume 2, "Access
/// Atomicity".)
void move_whole(std::byte* to, const std::byte* from, u32 bytes) noexcept {
  const auto as = []<class T>(T, std::byte* target, const std::byte* source) {
    const T value = __atomic_load_n(reinterpret_cast<const T*>(source), __ATOMIC_RELAXED);
    __atomic_store_n(reinterpret_cast<T*>(target), value, __ATOMIC_RELAXED);
  };
  if (bytes == 2) return as(u16{}, to, from);
  if (bytes == 4) return as(u32{}, to, from);
  if (bytes == 8) return as(u64{}, to, from);
  for (u32 at = 0; at < bytes; at += 16)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + at), _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + at)));
}

constexpr u32 kMaxVectorBytes = 32;

template <class M, Space S>
void load(Warp& w, const Insn& in, u32 mask) {
  Lanes at;
  const u32 bytes = in.count * static_cast<u32>(sizeof(M));
  if (!locate<S>(w, in, mask, bytes, false, at)) return;
  if (in.count == 1) {
    auto* d = slots<M>(w, in.d);
    for (u32 rest = mask; rest != 0; rest &= rest - 1) {
      const auto i = static_cast<u32>(std::countr_zero(rest));
      d[i] = fetch<M>(at.pointer[i]);
    }
    return;
  }
  const Ref elements[4] = {in.d, in.b, in.c, in.e};
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const auto i = static_cast<u32>(std::countr_zero(rest));
    alignas(16) std::byte whole[kMaxVectorBytes];
    move_whole(whole, at.pointer[i], bytes);
    for (u32 k = 0; k < in.count; ++k) slots<M>(w, elements[k])[i] = fetch<M>(whole + k * sizeof(M));
  }
}

template <class M, Space S>
void store(Warp& w, const Insn& in, u32 mask) {
  Lanes at;
  const u32 bytes = in.count * static_cast<u32>(sizeof(M));
  if (!locate<S>(w, in, mask, bytes, true, at)) return;
  if (in.count == 1) {
    const auto* d = slots<M>(w, in.d);
    for (u32 rest = mask; rest != 0; rest &= rest - 1) {
      const auto i = static_cast<u32>(std::countr_zero(rest));
      keep<M>(at.pointer[i], d[i]);
    }
    return;
  }
  const Ref elements[4] = {in.d, in.b, in.c, in.e};
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const auto i = static_cast<u32>(std::countr_zero(rest));
    alignas(16) std::byte whole[kMaxVectorBytes];
    for (u32 k = 0; k < in.count; ++k) keep<M>(whole + k * sizeof(M), slots<M>(w, elements[k])[i]);
    move_whole(at.pointer[i], whole, bytes);
  }
}

/// A kernel parameter at a place known when decoding: the same for every lane.
template <class M>
void load_parameter(Warp& w, const Insn& in, u32 mask) {
  const auto parameters = w.block->grid->launch->parameters;
  const Ref elements[4] = {in.d, in.b, in.c, in.e};
  for (u32 k = 0; k < in.count; ++k) {
    Raw<M> raw;
    std::memcpy(&raw, parameters.data() + in.imm + k * sizeof(M), sizeof raw);
    const SlotOf<M> value = put<M>(static_cast<M>(raw));
    auto* d = slots<M>(w, elements[k]);
    each_lane(mask, [&](u32 i) { d[i] = value; });
  }
}

/// A variable of the frame, at a place known when decoding: always inside the lane's memory.
template <class M>
void load_frame_variable(Warp& w, const Insn& in, u32 mask) {
  const Ref elements[4] = {in.d, in.b, in.c, in.e};
  for (u32 k = 0; k < in.count; ++k) {
    auto* d = slots<M>(w, elements[k]);
    const std::byte* from = w.local.data() + w.local_base + in.imm + k * sizeof(M);
    for (u32 rest = mask; rest != 0; rest &= rest - 1) {
      const auto i = static_cast<u32>(std::countr_zero(rest));
      Raw<M> raw;
      std::memcpy(&raw, from + std::size_t{i} * w.local_stride, sizeof raw);
      d[i] = put<M>(static_cast<M>(raw));
    }
  }
}
template <class M>
void store_frame_variable(Warp& w, const Insn& in, u32 mask) {
  const Ref elements[4] = {in.d, in.b, in.c, in.e};
  for (u32 k = 0; k < in.count; ++k) {
    const auto* d = slots<M>(w, elements[k]);
    std::byte* to = w.local.data() + w.local_base + in.imm + k * sizeof(M);
    for (u32 rest = mask; rest != 0; rest &= rest - 1) {
      const auto i = static_cast<u32>(std::countr_zero(rest));
      const auto raw = static_cast<Raw<M>>(d[i]);
      std::memcpy(to + std::size_t{i} * w.local_stride, &raw, sizeof raw);
    }
  }
}

/// Picks by the type in memory; untyped and floating values move as unsigned ones of their size.
template <class F>
Handler for_memory(Type type, F f) {
  switch (type) {
    case Type::s8:
      return f.template operator()<s8>();
    case Type::s16:
      return f.template operator()<s16>();
    default:
      break;
  }
  switch (bytes_of(type)) {
    case 1:
      return f.template operator()<u8>();
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

template <bool Load, Space S>
Handler access_handler(Type type) {
  return for_memory(type, []<class M>() -> Handler { return Load ? Handler{load<M, S>} : Handler{store<M, S>}; });
}

template <bool Load>
Handler access_handler(Type type, Space space) {
  switch (space) {
    case Space::shared:
      return access_handler<Load, Space::shared>(type);
    case Space::local:
      return access_handler<Load, Space::local>(type);
    case Space::param:
      return access_handler<Load, Space::param>(type);
    case Space::global:
    case Space::constant:
      return access_handler<Load, Space::global>(type);
    default:
      return access_handler<Load, Space::generic>(type);
  }
}

void fence(Warp&, const Insn&, u32) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
void nothing(Warp&, const Insn&, u32) {}
void clear_policy(Warp& w, const Insn& in, u32 mask) {
  u64* d = slots<u64>(w, in.d);
  each_lane(mask, [&](u32 i) { d[i] = 0; });
}

/// Hints on caching and eviction change nothing that a program can see. True: a cache policy follows the operands.
bool take_cache_hints(Words& w) {
  bool policy = false;
  for (;;) {
    const std::string_view word = w.left();
    static constexpr std::string_view kHints[] = {"ca", "cg", "cs", "cv",      "lu",
                                                  "wb", "wt", "nc", "unified", "nonuniform"};
    bool hint = word.starts_with("L1::") || word.starts_with("L2::");
    for (const std::string_view one : kHints) hint = hint || word == one;
    if (!hint) return policy;
    policy = policy || word == "L2::cache_hint";
    w.take(word);
  }
}

void decode_access(Builder& b, Words& w, bool loads) {
  const auto& in = w.instruction();
  // Word order is fixed in PTX, but nothing here depends on it.
  bool strong = false;
  for (const std::string_view word : {"weak", "volatile", "relaxed", "acquire", "release", "mmio"}) {
    if (w.take(word)) strong = strong || word != "weak";
  }
  for (const std::string_view scope : {"cta", "cluster", "gpu", "sys"}) w.take(scope);
  const Space space = take_space(w);
  const u32 count = w.take("v2") ? 2 : w.take("v4") ? 4 : 1;
  const Type type = w.take_type();
  const bool policy = take_cache_hints(w);
  while (w.has("L1::no_allocate")) w.take("L1::no_allocate");
  b.need(type != Type::none && type != Type::pred && bytes_of(type) <= 8, "this type is not carried here");
  b.need_operands(policy ? 3 : 2);
  const ast::Operand& where = in.operands[loads ? 1 : 0];
  const ast::Operand& what = in.operands[loads ? 0 : 1];
  const Address address = b.address(where);
  Ref elements[4] = {kNoRef, kNoRef, kNoRef, kNoRef};
  const auto element = [&](const ast::Operand& operand) {
    // A destination wider than the type takes the extended value; 16-bit types sit in 32-bit operands anyway.
    return loads ? b.write(operand, type) : b.read(operand, type);
  };
  if (count == 1) {
    const bool braced = what.kind == ast::Operand::Kind::vector && what.items.size() == 1;
    elements[0] = element(braced ? what.items[0] : what);
  } else {
    b.need(what.kind == ast::Operand::Kind::vector && what.items.size() == count,
           "expected a vector of that many registers");
    for (u32 i = 0; i < count; ++i) elements[i] = element(what.items[i]);
  }
  const u32 total = count * bytes_of(type);
  Handler run = nullptr;
  Ref base = kNoRef;
  u64 offset = address.offset;
  std::uint8_t flags = 0;
  switch (address.kind) {
    case Address::Kind::kernel_param: {
      b.need(loads && space == Space::param, "a kernel parameter can only be read, by ld.param");
      const auto& parameters = b.out().parameters;
      const u64 size = parameters.empty() ? 0 : parameters.back().offset + parameters.back().bytes;
      b.need(offset <= size && total <= size - offset, "the access goes beyond the parameters");
      run = for_memory(type, []<class M>() -> Handler { return load_parameter<M>; });
      break;
    }
    case Address::Kind::frame:
      b.need(space == Space::param || space == Space::local, "the variable is in another space");
      b.need(offset <= b.out().local_bytes && total <= b.out().local_bytes - offset,
             "the access goes beyond the variable");
      run = loads ? for_memory(type, []<class M>() -> Handler { return load_frame_variable<M>; })
                  : for_memory(type, []<class M>() -> Handler { return store_frame_variable<M>; });
      break;
    case Address::Kind::computed:
      base = address.ref;
      flags = address.wide ? kWideAddress : 0;
      run = loads ? access_handler<true>(type, space) : access_handler<false>(type, space);
      break;
  }
  (void)strong;
  Insn& insn = b.emit(run, elements[0], base, elements[1], elements[2], elements[3]);
  insn.imm = offset;
  insn.count = static_cast<std::uint8_t>(count);
  insn.flags = flags;
}

}  // namespace

Space take_space(Words& w) {
  if (w.take("global")) return Space::global;
  if (w.take("shared") || w.take("shared::cta") || w.take("shared::cluster")) return Space::shared;
  if (w.take("local")) return Space::local;
  if (w.take("const")) return Space::constant;
  if (w.take("param") || w.take("param::func") || w.take("param::entry")) return Space::param;
  return Space::generic;
}

bool decode_memory(Builder& b, Words& w) {
  const std::string_view op = w.instruction().opcode;
  if (op == "ld" || op == "ldu") return decode_access(b, w, true), true;
  if (op == "st") return decode_access(b, w, false), true;
  if (op == "membar" || op == "fence") {
    // The strongest fence serves for each of them.
    b.need_operands(0);
    for (const std::string_view word : {"sc",
                                        "acq_rel",
                                        "acquire",
                                        "release",
                                        "cta",
                                        "cluster",
                                        "gpu",
                                        "sys",
                                        "gl",
                                        "mbarrier_init",
                                        "proxy",
                                        "alias",
                                        "async",
                                        "async.global",
                                        "async.shared::cta",
                                        "shared::cta",
                                        "shared::cluster",
                                        "global",
                                        "async::generic",
                                        "sync_restrict::shared::cta",
                                        "sync_restrict::shared::cluster"}) {
      w.take(word);
    }
    b.emit(fence);
    return true;
  }
  if (op == "prefetch" || op == "prefetchu" || op == "applypriority" || op == "discard") {
    while (!w.left().empty()) w.take_any();
    b.emit(nothing);
    return true;
  }
  if (op == "createpolicy") {
    // What a policy says is never looked at: any value serves.
    while (!w.left().empty()) w.take_any();
    b.need(!w.instruction().operands.empty(), "wrong number of operands");
    b.emit(clear_policy, b.write(w.instruction().operands[0], Type::b64));
    return true;
  }
  return false;
}

}  // namespace vgpu::softgpu::ptx
