#pragma once
#include <cstddef>

namespace vgpu::shim {

/// Copies like memcpy to memory that is not read soon: with stores that bypass the caches, so that the destination is
/// not fetched first. memcpy does so by itself for a large copy, and can't know that a chunk is a piece of one.
void streaming_copy(void* destination, const void* source, std::size_t bytes) noexcept;

/// From this size on a copy is so large that its beginning has left the caches before its end is written.
inline constexpr std::size_t kStreamingBytes = std::size_t{8} << 20;

}  // namespace vgpu::shim
