#pragma once
#include <bit>

#include "softgpu/ptx/lanes.hpp"

/// Finding and checking what a memory instruction touches.
namespace vgpu::softgpu::ptx {

class Words;

/// Insn::flags of a memory instruction: the address register has 64 bits.
inline constexpr std::uint8_t kWideAddress = 1;

/// Takes the state space from the modifiers; generic if there is none.
Space take_space(Words& words);

struct Lanes {
  std::byte* pointer[kLanes];
};

/// Lanes whose accesses are looked at one by one, because a bound over all of them did not settle it.
bool locate_slowly(Warp& w, u32 mask, u32 bytes, bool writes, Space space, const u64* address, Lanes& out);

/// The places of an access of the lanes: operand a plus the immediate. False after a fault was raised.
template <Space S>
bool locate(Warp& w, const Insn& in, u32 mask, u32 bytes, bool writes, Lanes& out) {
  u64 address[kLanes];
  if ((in.flags & kWideAddress) != 0) {
    const u64* a = slots<u64>(w, in.a);
    for (u32 i = 0; i < kLanes; ++i) address[i] = a[i] + in.imm;
  } else {
    const u32* a = slots<u32>(w, in.a);
    for (u32 i = 0; i < kLanes; ++i) address[i] = u64{a[i]} + in.imm;
  }
  u64 low = ~u64{0};
  u64 high = 0;
  u64 bits = 0;
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const u64 one = address[std::countr_zero(rest)];
    low = one < low ? one : low;
    high = one > high ? one : high;
    bits |= one;
  }
  if ((bits & (bytes - 1)) != 0) return locate_slowly(w, mask, bytes, writes, S, address, out);
  std::byte* base = nullptr;
  if constexpr (S == Space::global || S == Space::generic) {
    // Lanes mostly touch neighbours: one look-up for the stretch that holds them all.
    const AddressMap* map = w.block->grid->launch->memory;
    if (high >= kSharedWindow || high - low > (1u << 20) || map == nullptr || !map->contains(low, high - low + bytes)) {
      return locate_slowly(w, mask, bytes, writes, S, address, out);
    }
  } else if constexpr (S == Space::shared) {
    const std::size_t size = w.block->shared.size();
    if (high > size || bytes > size - high) return locate_slowly(w, mask, bytes, writes, S, address, out);
    base = w.block->shared.data();
  } else {
    return locate_slowly(w, mask, bytes, writes, S, address, out);
  }
  if (base == nullptr) {
    for (u32 i = 0; i < kLanes; ++i) out.pointer[i] = reinterpret_cast<std::byte*>(address[i]);  // NOLINT
  } else {
    for (u32 i = 0; i < kLanes; ++i) out.pointer[i] = base + address[i];
  }
  return true;
}

}  // namespace vgpu::softgpu::ptx
