#include "softgpu/copy.hpp"

#include <algorithm>
#include <cstring>
#include <memory>

#include "softgpu/capture.hpp"
#include "softgpu/driver.hpp"
#include "softgpu/log.hpp"

namespace vgpu::softgpu {
namespace {

/// Up to this size the program's memory is copied aside and the call returns at once, as NVIDIA's driver does.
constexpr std::uint64_t kStaged = 64 * 1024;
/// Copies up to this size are done by the caller when the stream is idle: waking the stream's thread takes 40 us, and a
/// copy that is forwarded in pieces already has one thread to fill them and one to empty them.
constexpr std::uint64_t kShort = 1024 * 1024;

void move(std::uint64_t destination, std::uint64_t source, std::uint64_t bytes) noexcept {
  // Ranges may overlap: CUDA leaves the result open, but it must not be a crash.
  std::memmove(reinterpret_cast<void*>(destination), reinterpret_cast<const void*>(source), bytes);
}

void move_rows(const Side& destination, const Side& source, const Extent& extent) noexcept {
  if (extent.height == 1 && extent.depth == 1) {
    move(destination.address, source.address, extent.width);
    return;
  }
  for (std::uint64_t z = 0; z < extent.depth; ++z) {
    const std::uint64_t to = destination.address + z * destination.slice;
    const std::uint64_t from = source.address + z * source.slice;
    if (destination.pitch == extent.width && source.pitch == extent.width) {
      move(to, from, extent.width * extent.height);
      continue;
    }
    for (std::uint64_t y = 0; y < extent.height; ++y) {
      move(to + y * destination.pitch, from + y * source.pitch, extent.width);
    }
  }
}

/// Work that was checked at its submission is checked again in its turn: memory may have been freed in stream order
/// since.
bool still_valid(Place place, std::uint64_t address, std::uint64_t bytes) noexcept {
  if (place == Place::pageable) return true;
  if (driver().memory.map().contains(address, bytes)) return true;
  log(LogLevel::error, "copy fault error=CUDA_ERROR_ILLEGAL_ADDRESS address={:#x} bytes={}", address, bytes);
  driver().set_fault(CUDA_ERROR_ILLEGAL_ADDRESS);
  return false;
}

bool still_valid(const CheckedSide& of) noexcept { return still_valid(of.place, of.side.address, of.span); }

CUresult check(const Side& side, const Extent& extent, CheckedSide& checked) noexcept {
  checked.side = side;
  checked.span = span_of(side, extent);
  if (side.address == 0 || checked.span == 0) return CUDA_ERROR_INVALID_VALUE;
  if (side.address + checked.span < side.address) return CUDA_ERROR_INVALID_VALUE;
  checked.place = place_of(side.address, checked.span);
  if (checked.place == Place::invalid) return CUDA_ERROR_INVALID_VALUE;
  if (side.expect == Expect::device && checked.place == Place::pageable) return CUDA_ERROR_INVALID_VALUE;
  return CUDA_SUCCESS;
}

CUresult refuse_synchronous(Stream& stream) {
  if (const CUresult error = refuse_captured(stream); error != CUDA_SUCCESS) return error;
  return unsafe_in_capture();
}

/// A captured copy as a node, with the parameters that a program gets when it asks for them.
SharedWork node_of(const Copy& copy, Stream& stream) {
  CopyNode node{{}, stream.context().handle, copy};
  CUDA_MEMCPY3D& p = node.parameters;
  p.WidthInBytes = copy.extent.width;
  p.Height = copy.extent.height;
  p.Depth = copy.extent.depth;
  const auto rows = [](const Side& side) { return side.pitch != 0 ? side.slice / side.pitch : 0; };
  if (copy.source.place == Place::pageable) {
    p.srcMemoryType = CU_MEMORYTYPE_HOST;
    p.srcHost = reinterpret_cast<const void*>(copy.source.side.address);
  } else {
    p.srcMemoryType = copy.source.place == Place::device ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_UNIFIED;
    p.srcDevice = copy.source.side.address;
  }
  p.srcPitch = copy.source.side.pitch;
  p.srcHeight = rows(copy.source.side);
  if (copy.destination.place == Place::pageable) {
    p.dstMemoryType = CU_MEMORYTYPE_HOST;
    p.dstHost = reinterpret_cast<void*>(copy.destination.side.address);
  } else {
    p.dstMemoryType = copy.destination.place == Place::device ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_UNIFIED;
    p.dstDevice = copy.destination.side.address;
  }
  p.dstPitch = copy.destination.side.pitch;
  p.dstHeight = rows(copy.destination.side);
  return share(std::move(node));
}

/// The source's bytes, taken aside without gaps between rows.
struct Staging {
  explicit Staging(const Side& source, const Extent& extent)
      : bytes(std::make_unique<std::byte[]>(extent.width * extent.height * extent.depth)) {
    side.address = reinterpret_cast<std::uint64_t>(bytes.get());
    side.pitch = extent.width;
    side.slice = extent.width * extent.height;
    move_rows(side, source, extent);
  }
  std::unique_ptr<std::byte[]> bytes;
  Side side;
};

}  // namespace

std::uint64_t span_of(const Side& side, const Extent& extent) noexcept {
  std::uint64_t rows = 0;
  std::uint64_t planes = 0;
  std::uint64_t sum = 0;
  if (__builtin_mul_overflow(extent.height - 1, side.pitch, &rows)) return 0;
  if (__builtin_mul_overflow(extent.depth - 1, side.slice, &planes)) return 0;
  if (__builtin_add_overflow(rows, planes, &sum) || __builtin_add_overflow(sum, extent.width, &sum)) return 0;
  return sum;
}

Place place_of(std::uint64_t address, std::uint64_t bytes) noexcept {
  const bool inside = AddressMap::touches_device(address, bytes);
  if (driver().memory.map().contains(address, bytes)) return inside ? Place::device : Place::pinned;
  return inside ? Place::invalid : Place::pageable;
}

void Copy::operator()() const noexcept {
  if (extent.width == 0 || extent.height == 0 || extent.depth == 0 || driver().fault() != CUDA_SUCCESS) return;
  if (still_valid(destination) && still_valid(source)) move_rows(destination.side, source.side, extent);
}

CUresult prepare_copy(const Side& to, const Side& from, const Extent& extent, Copy& copy) noexcept {
  copy.extent = extent;
  if (extent.width == 0 || extent.height == 0 || extent.depth == 0) return CUDA_SUCCESS;
  if (const CUresult error = check(to, extent, copy.destination); error != CUDA_SUCCESS) return error;
  if (const CUresult error = check(from, extent, copy.source); error != CUDA_SUCCESS) return error;
  std::uint64_t bytes = 0;
  if (__builtin_mul_overflow(extent.width, extent.height, &bytes) ||
      __builtin_mul_overflow(bytes, extent.depth, &bytes)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

CUresult copy(Stream& stream, const Side& to, const Side& from, const Extent& extent, bool asynchronous) {
  Copy work;
  if (const CUresult error = prepare_copy(to, from, extent, work); error != CUDA_SUCCESS) return error;
  const std::uint64_t bytes = extent.width * extent.height * extent.depth;
  if (bytes == 0) return CUDA_SUCCESS;
  if (any_capture()) {
    // A copy that returns when it is done can't become a node.
    if (const CUresult error = asynchronous ? CUDA_SUCCESS : refuse_synchronous(stream); error != CUDA_SUCCESS)
      return error;
    if (const auto result = captured(stream, [&] { return node_of(work, stream); })) return *result;
  }
  const Place destination = work.destination.place;
  const Place source = work.source.place;

  if (!asynchronous || destination == Place::pageable || (source == Place::pageable && bytes > kStaged)) {
    stream.run_now(work);
    return driver().fault();
  }
  if (bytes <= kShort && stream.try_short(work)) return driver().fault();
  if (source == Place::pageable) {
    stream.submit([target = work.destination, extent, staging = Staging(from, extent)] {
      if (driver().fault() == CUDA_SUCCESS && still_valid(target)) move_rows(target.side, staging.side, extent);
    });
  } else {
    stream.submit(work);
  }
  return CUDA_SUCCESS;
}

CUresult copy(Stream& stream, std::uint64_t destination, Expect destination_expect, std::uint64_t source,
              Expect source_expect, std::uint64_t bytes, bool asynchronous) {
  return copy(stream, Side{destination, bytes, bytes, destination_expect}, Side{source, bytes, bytes, source_expect},
              Extent{bytes, 1, 1}, asynchronous);
}

void Fill::operator()() const noexcept {
  if (extent.width == 0 || extent.height == 0) return;
  if (driver().fault() != CUDA_SUCCESS || !still_valid(destination)) return;
  for (std::uint64_t y = 0; y < extent.height; ++y) {
    auto* row = reinterpret_cast<std::byte*>(destination.side.address + y * destination.side.pitch);
    if (element_bytes == 1) {
      std::memset(row, static_cast<int>(value & 0xff), extent.width);
      continue;
    }
    // The first element, then twice as much each time.
    std::memcpy(row, &value, element_bytes);
    for (std::uint64_t done = element_bytes; done < extent.width;) {
      const std::uint64_t now = std::min(done, extent.width - done);
      std::memcpy(row + done, row, now);
      done += now;
    }
  }
}

CUresult prepare_fill(std::uint64_t destination, std::uint64_t pitch, std::uint32_t value, unsigned element_bytes,
                      const Extent& extent, Fill& fill) noexcept {
  if (destination % element_bytes != 0) return CUDA_ERROR_INVALID_VALUE;
  fill.extent = extent;
  fill.value = value;
  fill.element_bytes = element_bytes;
  if (extent.width == 0 || extent.height == 0) return CUDA_SUCCESS;
  if (__builtin_mul_overflow(extent.width, std::uint64_t{element_bytes}, &fill.extent.width))
    return CUDA_ERROR_INVALID_VALUE;
  if (extent.height > 1 && (pitch < fill.extent.width || pitch % element_bytes != 0)) return CUDA_ERROR_INVALID_VALUE;
  return check(Side{destination, pitch, 0, Expect::device}, fill.extent, fill.destination);
}

CUresult fill(Stream& stream, std::uint64_t destination, std::uint64_t pitch, std::uint32_t value,
              unsigned element_bytes, const Extent& extent, bool asynchronous) {
  Fill work;
  if (const CUresult error = prepare_fill(destination, pitch, value, element_bytes, extent, work);
      error != CUDA_SUCCESS) {
    return error;
  }
  if (extent.width == 0 || extent.height == 0) return CUDA_SUCCESS;
  if (any_capture()) {
    if (const CUresult error = asynchronous ? CUDA_SUCCESS : refuse_synchronous(stream); error != CUDA_SUCCESS)
      return error;
    const auto make = [&] {
      return share(FillNode{
          {destination, pitch, value, element_bytes, extent.width, extent.height}, stream.context().handle, work});
    };
    if (const auto result = captured(stream, make)) return *result;
  }
  // Device memory is filled asynchronously in both forms; pinned host memory must be done when the call returns.
  if (!asynchronous && work.destination.place == Place::pinned) {
    stream.run_now(work);
  } else if (work.destination.span > kShort || !stream.try_short(work)) {
    stream.submit(work);
  }
  return driver().fault();
}

}  // namespace vgpu::softgpu
