#pragma once
#include <cstddef>
#include <span>

#include "protocol/types.hpp"

namespace vgpu::executor {

/// Device memory that an image takes when it is loaded, as far as the image tells: a cubin's sections of code and data,
/// the variables that PTX declares; of a fat binary the largest of its parts. `whole`: false for an image of which the
/// driver loads only the kernels that are used: then variables alone count, and nothing is unpacked to find them. Reads
/// nothing outside of `image`. Throws std::bad_alloc.
protocol::u64 image_device_bytes(std::span<const std::byte> image, bool whole);

}  // namespace vgpu::executor
