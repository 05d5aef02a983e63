#pragma once
#include <cstddef>
#include <cstdint>

#include "softgpu/context.hpp"
#include "softgpu/driver_api.hpp"

namespace vgpu::softgpu {

/// What an address is to a copy.
enum class Place {
  device,    ///< all of the range is allocated device memory
  pinned,    ///< all of it is page-locked host memory
  pageable,  ///< the program's own memory
  invalid,   ///< in the device window, but not allocated
};

Place place_of(std::uint64_t address, std::uint64_t bytes) noexcept;

/// What a call says about an address: cuMemcpyHtoD promises a device address, cuMemcpy nothing.
enum class Expect { device, host, any };

/// Rows of bytes in up to three dimensions. Addresses are of the first byte to copy; `slice` is bytes from one plane to
/// the next.
struct Extent {
  std::uint64_t width = 0, height = 1, depth = 1;
};
struct Side {
  std::uint64_t address = 0;
  std::uint64_t pitch = 0, slice = 0;
  Expect expect = Expect::any;
};

/// One side of a copy that was checked.
struct CheckedSide {
  Side side;
  Place place = Place::pageable;
  std::uint64_t span = 0;  ///< bytes from its first to its last
};

/// A copy that was checked: it may be run at once, queued in a stream or kept in a graph. Running it checks again,
/// since memory may have been freed in stream order; a fault becomes the sticky error, with a log line.
struct Copy {
  CheckedSide destination, source;
  Extent extent;  ///< no dimension is 0, unless nothing is to be done

  void operator()() const noexcept;
};

/// The same for a fill. `extent.width` counts bytes.
struct Fill {
  CheckedSide destination;
  Extent extent;
  std::uint32_t value = 0;
  unsigned element_bytes = 1;

  void operator()() const noexcept;
};

/// Checks addresses and sizes.
CUresult prepare_copy(const Side& destination, const Side& source, const Extent& extent, Copy& copy) noexcept;
/// The same; `extent.width` counts elements of 1, 2 or 4 bytes.
CUresult prepare_fill(std::uint64_t destination, std::uint64_t pitch, std::uint32_t value, unsigned element_bytes,
                      const Extent& extent, Fill& fill) noexcept;

/// Checks addresses and sizes, then copies in the stream's order. Synchronous calls return when all is done.
/// Asynchronous ones return at once where both sides are device or pinned memory; from pageable memory when the source
/// has been read, to pageable memory when all is done (CUDA driver API, "API synchronization behavior").
CUresult copy(Stream& stream, const Side& destination, const Side& source, const Extent& extent, bool asynchronous);

/// The same for one row.
CUresult copy(Stream& stream, std::uint64_t destination, Expect destination_expect, std::uint64_t source,
              Expect source_expect, std::uint64_t bytes, bool asynchronous);

/// The bytes from the first to the last one that rows of this shape touch; 0 if that overflows. All dimensions > 0.
std::uint64_t span_of(const Side& side, const Extent& extent) noexcept;

/// Fills rows with an element of 1, 2 or 4 bytes; extent.width counts elements.
CUresult fill(Stream& stream, std::uint64_t destination, std::uint64_t pitch, std::uint32_t value,
              unsigned element_bytes, const Extent& extent, bool asynchronous);

}  // namespace vgpu::softgpu
