// Copies of rectangles. Pageable sides are packed into the staging area row by row.
#include "shim/copy.hpp"

using namespace vgpu::shim;

namespace {

struct Side {
  u64 address = 0;  ///< of the rectangle's first byte
  u64 pitch = 0;
  Where where = Where::device;
  bool on_host() const noexcept { return where != Where::device; }
};

struct Rectangle {
  Side to;
  Side from;
  u64 width;
  u64 height;
};

/// Reads one side of a CUDA_MEMCPY2D.
CUresult read_side(CUmemorytype type, const void* host, CUdeviceptr device, size_t x, size_t y, size_t pitch, u64 width,
                   u64 height, Side& side) {
  u64 base;
  switch (type) {
    case CU_MEMORYTYPE_HOST:
      base = reinterpret_cast<u64>(host);
      break;
    case CU_MEMORYTYPE_DEVICE:
    case CU_MEMORYTYPE_UNIFIED:
      base = device;
      break;
    case CU_MEMORYTYPE_ARRAY:
      return CUDA_ERROR_NOT_SUPPORTED;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
  if (base == 0) return CUDA_ERROR_INVALID_VALUE;
  side.pitch = pitch != 0 ? pitch : width + x;
  if (height > 1 && side.pitch < width + x) return CUDA_ERROR_INVALID_VALUE;
  side.address = base + y * side.pitch + x;
  const u64 extent = (height - 1) * side.pitch + width;
  if (type == CU_MEMORYTYPE_DEVICE)
    side.where = Where::device;
  else
    side.where = where(side.address, extent);
  return CUDA_SUCCESS;
}

u64 region_address(const Side& side) {
  return side.where == Where::pinned
             ? static_cast<u64>(state().host_memory.offset(reinterpret_cast<const void*>(side.address)))
             : side.address;
}

void copy_rows(std::byte* to, u64 to_pitch, const std::byte* from, u64 from_pitch, u64 width, u64 rows) {
  for (u64 row = 0; row < rows; ++row) std::memcpy(to + row * to_pitch, from + row * from_pitch, width);
}

/// One side is pageable: pieces of whole rows, or of parts of rows that are longer than a chunk.
CUresult copy_pageable(const Context& context, StreamHandle stream, const Rectangle& rectangle) {
  State& s = state();
  const bool to_device = rectangle.from.where == Where::pageable;
  const Side& device = to_device ? rectangle.to : rectangle.from;
  const Side& host = to_device ? rectangle.from : rectangle.to;
  const u64 piece_width = std::min(rectangle.width, Staging::kChunkBytes);
  const u64 piece_rows = std::min(rectangle.height, Staging::kChunkBytes / piece_width);
  const u64 columns = (rectangle.width + piece_width - 1) / piece_width;
  const u64 pieces = columns * ((rectangle.height + piece_rows - 1) / piece_rows);

  struct Piece {
    u64 x, y, width, rows;
  };
  const auto piece_at = [&](u64 index) {
    const u64 x = index % columns * piece_width;
    const u64 y = index / columns * piece_rows;
    return Piece{x, y, std::min(piece_width, rectangle.width - x), std::min(piece_rows, rectangle.height - y)};
  };
  auto* const memory = reinterpret_cast<std::byte*>(host.address);
  const auto at_host = [&](const Piece& piece) { return memory + piece.y * host.pitch + piece.x; };

  return staged(
      pieces,
      [&](u64 index, u32 chunk, u32& ticket) {
        const Piece piece = piece_at(index);
        if (to_device)
          copy_rows(s.staging.memory(chunk), piece.width, at_host(piece), host.pitch, piece.width, piece.rows);
        const u64 on_device = region_address(device) + piece.y * device.pitch + piece.x;
        const u64 staged_at = static_cast<u64>(Staging::offset(chunk));
        const bool device_in_region = device.where == Where::pinned;
        const call::cuMemcpy2DAsync::Request request =
            to_device ? call::cuMemcpy2DAsync::Request{staged_at,  piece.width, on_device, device.pitch,    piece.width,
                                                       piece.rows, stream,      1,         device_in_region}
                      : call::cuMemcpy2DAsync::Request{on_device,   device.pitch,     staged_at,
                                                       piece.width, piece.width,      piece.rows,
                                                       stream,      device_in_region, 1};
        const u16 flags = index + 1 < pieces ? VGPU_RECORD_MORE : 0;
        return s.channel->begin<call::cuMemcpy2DAsync>(Staging::slot(chunk), ticket, context.index(), request, 0,
                                                       no_tail, flags);
      },
      [&](u64 index, u32 chunk) {
        if (to_device) return;
        const Piece piece = piece_at(index);
        copy_rows(at_host(piece), host.pitch, s.staging.memory(chunk), piece.width, piece.width, piece.rows);
      });
}

CUresult copy_rectangle(const CUDA_MEMCPY2D* copy, CUstream stream, When when) {
  return with_stream(stream, [&](Context& context, StreamHandle handle) -> CUresult {
    if (!copy) return CUDA_ERROR_INVALID_VALUE;
    const u64 width = copy->WidthInBytes;
    const u64 height = copy->Height;
    if (width == 0 || height == 0) return CUDA_SUCCESS;
    Rectangle rectangle{{}, {}, width, height};
    CUresult result = read_side(copy->srcMemoryType, copy->srcHost, copy->srcDevice, copy->srcXInBytes, copy->srcY,
                                copy->srcPitch, width, height, rectangle.from);
    if (result != CUDA_SUCCESS) return result;
    result = read_side(copy->dstMemoryType, copy->dstHost, copy->dstDevice, copy->dstXInBytes, copy->dstY,
                       copy->dstPitch, width, height, rectangle.to);
    if (result != CUDA_SUCCESS) return result;

    if (rectangle.to.on_host() && rectangle.from.on_host()) {
      result = ask<call::cuStreamSynchronize>(context.index(), {handle});
      if (result == CUDA_SUCCESS)
        copy_rows(reinterpret_cast<std::byte*>(rectangle.to.address), rectangle.to.pitch,
                  reinterpret_cast<const std::byte*>(rectangle.from.address), rectangle.from.pitch, width, height);
      return result;
    }
    if (rectangle.to.where == Where::pageable || rectangle.from.where == Where::pageable)
      return copy_pageable(context, handle, rectangle);
    const call::cuMemcpy2D::Request request{region_address(rectangle.from),
                                            rectangle.from.pitch,
                                            region_address(rectangle.to),
                                            rectangle.to.pitch,
                                            width,
                                            height,
                                            handle,
                                            rectangle.from.on_host(),
                                            rectangle.to.on_host()};
    if (when == When::done) return ask<call::cuMemcpy2D>(context.index(), request);
    return post<call::cuMemcpy2DAsync>(
        context.index(), {request.source, request.source_pitch, request.destination, request.destination_pitch, width,
                          height, handle, request.source_on_host, request.destination_on_host});
  });
}

}  // namespace

CUresult cuMemcpy2D(const CUDA_MEMCPY2D* copy) { return copy_rectangle(copy, nullptr, When::done); }

// Any pitch is good for a copy by rows, which is what this form exists for.
CUresult cuMemcpy2DUnaligned(const CUDA_MEMCPY2D* copy) { return copy_rectangle(copy, nullptr, When::done); }

CUresult cuMemcpy2DAsync(const CUDA_MEMCPY2D* copy, CUstream stream) {
  return copy_rectangle(copy, stream, When::ordered);
}
