#pragma once
#include <cstddef>
#include <span>

#include "protocol/types.hpp"

namespace vgpu::executor {

/// Device memory that an image takes when it is loaded, as far as the image tells: a cubin's sections of code and data,
/// the variables that PTX declares. Of a fat binary it is the largest of its parts; a packed part counts as what it is
/// unpacked. `code`: false for an image of which the driver loads the kernels that are used, and variables only count.
/// Reads nothing outside of `image`.
protocol::u64 image_device_bytes(std::span<const std::byte> image, bool code) noexcept;

}  // namespace vgpu::executor
