#pragma once
#include <bit>

#include "protocol/types.hpp"

namespace vgpu::executor {

/// A guest's number as one of cuda.h's enumerations whose largest enumerator is `Max`. False: the C++ type can't hold
/// it, so that the mere conversion would be undefined; no driver knows such a value either. Values that this cuda.h has
/// no name for, but a newer driver may know, pass.
template <auto Max>
constexpr bool to_enum(protocol::u32 number, decltype(Max)& value) noexcept {
  if (number >= std::bit_ceil(static_cast<protocol::u32>(Max) + 1)) return false;
  value = static_cast<decltype(Max)>(number);
  return true;
}

}  // namespace vgpu::executor
