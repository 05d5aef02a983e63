#pragma once
#include "shim/session.hpp"

namespace vgpu::shim {

/// Bytes of a texel; 0 for formats whose texels are no multiple of bytes each, or lie in planes.
u32 texel_bytes(const protocol::ArrayShape& shape) noexcept;

struct ArrayOrigin {
  u64 x, y, z;  ///< byte, row, plane
};

/// False if a copy leads out of an array, or cuts a texel. Formats of which only the host knows the layout are its to
/// check.
bool within(const protocol::ArrayShape& shape, const ArrayOrigin& origin, const protocol::CopyExtent& extent) noexcept;

/// Ends the arrays, textures and surfaces of a context that is about to be destroyed.
void release_arrays(const Context& context);

}  // namespace vgpu::shim
