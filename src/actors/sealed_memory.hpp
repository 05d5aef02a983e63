#pragma once
#include <cstdint>

#include "common/unique_fd.hpp"

namespace vgpu::daemon {

/// A memfd of zeros that nobody can shrink or grow, so that nobody can take pages from under a mapping. Empty: errno
/// says why.
UniqueFd sealed_memory(const char* name, std::uint64_t bytes);

}  // namespace vgpu::daemon
