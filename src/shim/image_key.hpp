#pragma once
#include <cstddef>
#include <optional>
#include <span>

#include "protocol/payload.hpp"

namespace vgpu::shim {

/// What file of the guest an image is mapped from, so that the host may know it already. Nothing for an image that lies
/// in other memory, in memory that the process can write, in a file that was changed or replaced since, or that is not
/// worth the look. Reads /proc/self/maps: for large images only.
std::optional<protocol::ImageKey> file_of_image(std::span<const std::byte> image);

}  // namespace vgpu::shim
