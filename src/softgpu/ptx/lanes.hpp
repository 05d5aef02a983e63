#pragma once
#include <bit>
#include <cstdint>
#include <type_traits>

#include "softgpu/ptx/half.hpp"
#include "softgpu/ptx/machine.hpp"

/// How handlers walk over the lanes of their operands. The inner loops are plain, so that the compiler vectorises them.

/// Before a loop over lanes: a result may lie where an operand does, but lane upon lane, so no lane reads what another
/// writes.
#if defined(__clang__)
#define VGPU_LANES_INDEPENDENT
#else
#define VGPU_LANES_INDEPENDENT _Pragma("GCC ivdep")
#endif

namespace vgpu::softgpu::ptx {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using s8 = std::int8_t;
using s16 = std::int16_t;
using s32 = std::int32_t;
using s64 = std::int64_t;

template <class T>
using SlotOf = std::conditional_t<sizeof(T) == 8, u64, u32>;

template <class T>
[[gnu::always_inline]] inline T get(SlotOf<T> slot) noexcept {
  if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(slot);
  } else if constexpr (sizeof(T) == 2) {
    return std::bit_cast<T>(static_cast<u16>(slot));
  } else {
    return std::bit_cast<T>(slot);
  }
}

template <class T>
[[gnu::always_inline]] inline SlotOf<T> put(T value) noexcept {
  if constexpr (std::is_integral_v<T>) {
    return static_cast<SlotOf<T>>(value);
  } else if constexpr (sizeof(T) == 2) {
    return std::bit_cast<u16>(value);
  } else {
    return std::bit_cast<SlotOf<T>>(value);
  }
}

template <class T>
[[gnu::always_inline]] inline SlotOf<T>* slots(const Warp& warp, Ref ref) noexcept {
  return reinterpret_cast<SlotOf<T>*>(warp.base[ref >> 30] + (ref & 0x3fffffffu));
}
[[gnu::always_inline]] inline u32& predicate(const Warp& warp, Ref ref) noexcept { return *slots<u32>(warp, ref); }

template <class F>
[[gnu::always_inline]] inline void each_lane(u32 mask, F f) {
  if (mask == kAllLanes) {
    VGPU_LANES_INDEPENDENT
    for (u32 i = 0; i < kLanes; ++i) f(i);
  } else {
    for (u32 rest = mask; rest != 0; rest &= rest - 1) f(static_cast<u32>(std::countr_zero(rest)));
  }
}

template <class D, class A, auto F>
void unary(Warp& w, const Insn& in, u32 mask) {
  auto* d = slots<D>(w, in.d);
  const auto* a = slots<A>(w, in.a);
  each_lane(
      mask, [&](u32 i) __attribute__((always_inline)) { d[i] = put<D>(F(get<A>(a[i]))); });
}

template <class D, class A, class B, auto F>
void binary(Warp& w, const Insn& in, u32 mask) {
  auto* d = slots<D>(w, in.d);
  const auto* a = slots<A>(w, in.a);
  const auto* b = slots<B>(w, in.b);
  each_lane(
      mask, [&](u32 i) __attribute__((always_inline)) { d[i] = put<D>(F(get<A>(a[i]), get<B>(b[i]))); });
}

template <class D, class A, class B, class C, auto F>
void ternary(Warp& w, const Insn& in, u32 mask) {
  auto* d = slots<D>(w, in.d);
  const auto* a = slots<A>(w, in.a);
  const auto* b = slots<B>(w, in.b);
  const auto* c = slots<C>(w, in.c);
  each_lane(
      mask, [&](u32 i) __attribute__((always_inline)) { d[i] = put<D>(F(get<A>(a[i]), get<B>(b[i]), get<C>(c[i]))); });
}

/// Four sources: a, b, c, e.
template <class D, class A, class B, class C, class E, auto F>
void quaternary(Warp& w, const Insn& in, u32 mask) {
  auto* d = slots<D>(w, in.d);
  const auto* a = slots<A>(w, in.a);
  const auto* b = slots<B>(w, in.b);
  const auto* c = slots<C>(w, in.c);
  const auto* e = slots<E>(w, in.e);
  each_lane(
      mask, [&](u32 i) __attribute__((always_inline)) {
        d[i] = put<D>(F(get<A>(a[i]), get<B>(b[i]), get<C>(c[i]), get<E>(e[i])));
      });
}

/// A bit for each lane: the form that predicates have.
template <class F>
[[gnu::always_inline]] inline u32 collect(F f) {
  static constexpr struct Bits {
    u32 bit[kLanes];
    constexpr Bits() : bit() {
      for (u32 i = 0; i < kLanes; ++i) bit[i] = 1u << i;
    }
  } kBits;
  u32 out = 0;
  for (u32 i = 0; i < kLanes; ++i) out |= f(i) ? kBits.bit[i] : 0u;
  return out;
}

inline void set_predicate(Warp& w, Ref ref, u32 value, u32 mask) noexcept {
  if (ref == kNoRef) return;
  u32& p = predicate(w, ref);
  p = (p & ~mask) | (value & mask);
}

/// Picks the instance of a handler for a type: f.template operator()<T>().
template <class F>
Handler for_integers(Type type, F f) {
  switch (type) {
    case Type::u8:
      return f.template operator()<u8>();
    case Type::s8:
      return f.template operator()<s8>();
    case Type::u16:
    case Type::b16:
      return f.template operator()<u16>();
    case Type::s16:
      return f.template operator()<s16>();
    case Type::u32:
    case Type::b32:
      return f.template operator()<u32>();
    case Type::s32:
      return f.template operator()<s32>();
    case Type::u64:
    case Type::b64:
      return f.template operator()<u64>();
    case Type::s64:
      return f.template operator()<s64>();
    default:
      return nullptr;
  }
}
template <class F>
Handler for_words(Type type, F f) {
  switch (type) {
    case Type::u16:
    case Type::b16:
      return f.template operator()<u16>();
    case Type::s16:
      return f.template operator()<s16>();
    case Type::u32:
    case Type::b32:
      return f.template operator()<u32>();
    case Type::s32:
      return f.template operator()<s32>();
    case Type::u64:
    case Type::b64:
      return f.template operator()<u64>();
    case Type::s64:
      return f.template operator()<s64>();
    default:
      return nullptr;
  }
}

}  // namespace vgpu::softgpu::ptx
