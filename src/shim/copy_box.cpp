// Copies of rows and planes. Pageable sides are packed into the staging area row by row.
#include "shim/copy_box.hpp"

#include "shim/array.hpp"
#include "shim/captured_copy.hpp"

namespace vgpu::shim {
namespace {

using protocol::CopyExtent;
using protocol::CopySide;

/// One side of a CUDA_MEMCPY2D or CUDA_MEMCPY3D.
struct Parameters {
  CUmemorytype type;
  const void* host;
  CUdeviceptr device;
  CUarray array;
  u64 x, y, z, pitch, height;
};

CUresult read_array(const Parameters& from, const CopyExtent& extent, BoxSide& side) {
  const Array* array = state().arrays.find(reinterpret_cast<u64>(from.array));
  if (!array) return CUDA_ERROR_INVALID_HANDLE;
  side.array = reinterpret_cast<u64>(from.array);
  side.x = from.x;
  side.y = from.y;
  side.z = from.z;
  return within(array->shape, {from.x, from.y, from.z}, extent) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult read_side(const Parameters& from, const CopyExtent& extent, BoxSide& side) {
  u64 base;
  switch (from.type) {
    case CU_MEMORYTYPE_HOST:
      base = reinterpret_cast<u64>(from.host);
      break;
    case CU_MEMORYTYPE_DEVICE:
    case CU_MEMORYTYPE_UNIFIED:
      base = from.device;
      break;
    case CU_MEMORYTYPE_ARRAY:
      return read_array(from, extent, side);
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
  if (base == 0) return CUDA_ERROR_INVALID_VALUE;
  // A pitch or a height of 0 means rows or planes without gaps.
  side.pitch = from.pitch != 0 ? from.pitch : extent.width + from.x;
  side.plane_rows = from.height != 0 ? from.height : extent.height + from.y;
  if (side.pitch < extent.width + from.x) return CUDA_ERROR_INVALID_VALUE;
  if (extent.depth > 1 && side.plane_rows < extent.height + from.y) return CUDA_ERROR_INVALID_VALUE;
  side.address = base + (from.z * side.plane_rows + from.y) * side.pitch + from.x;
  // The driver looks at distances that nothing is ever taken at, too.
  side.plane_rows = std::max(side.plane_rows, extent.height);
  const u64 bytes = ((extent.depth - 1) * side.plane_rows + extent.height - 1) * side.pitch + extent.width;
  if (from.type != CU_MEMORYTYPE_DEVICE) side.where = where(side.address, bytes);
  return CUDA_SUCCESS;
}

/// How rows and planes lie in host memory.
struct Rows {
  std::byte* at;
  u64 pitch;
  u64 plane_rows;
};

Rows rows_of(const BoxSide& side) noexcept {
  return {reinterpret_cast<std::byte*>(side.address), side.pitch, side.plane_rows};
}

void copy_rows(const Rows& to, const Rows& from, const CopyExtent& extent) {
  for (u64 plane = 0; plane < extent.depth; ++plane)
    for (u64 row = 0; row < extent.height; ++row)
      std::memcpy(to.at + (plane * to.plane_rows + row) * to.pitch,
                  from.at + (plane * from.plane_rows + row) * from.pitch, extent.width);
}

/// A part of a box that fits a staging chunk: whole planes if that is possible, else whole rows, else parts of rows.
class Pieces {
 public:
  struct Piece {
    u64 x, y, z;
    CopyExtent extent;
  };

  explicit Pieces(const CopyExtent& whole) noexcept : whole_(whole) {
    most_.width = std::min(whole.width, Staging::kChunkBytes);
    most_.height = std::min(whole.height, Staging::kChunkBytes / most_.width);
    const bool planes = most_.height == whole.height && most_.width == whole.width;
    most_.depth = planes ? std::min(whole.depth, Staging::kChunkBytes / (most_.width * most_.height)) : 1;
    columns_ = parts(whole.width, most_.width);
    bands_ = parts(whole.height, most_.height);
  }
  u64 count() const noexcept { return columns_ * bands_ * parts(whole_.depth, most_.depth); }
  Piece operator[](u64 index) const noexcept {
    const u64 x = index % columns_ * most_.width;
    const u64 y = index / columns_ % bands_ * most_.height;
    const u64 z = index / columns_ / bands_ * most_.depth;
    return {x,
            y,
            z,
            {std::min(most_.width, whole_.width - x), std::min(most_.height, whole_.height - y),
             std::min(most_.depth, whole_.depth - z)}};
  }

 private:
  static u64 parts(u64 whole, u64 most) noexcept { return (whole + most - 1) / most; }
  CopyExtent whole_;
  CopyExtent most_{};
  u64 columns_;
  u64 bands_;
};

/// The same side, from a piece on.
BoxSide moved(const BoxSide& side, const Pieces::Piece& piece) noexcept {
  BoxSide at = side;
  if (side.array != 0) {
    at.x += piece.x;
    at.y += piece.y;
    at.z += piece.z;
  } else {
    at.address += (piece.z * side.plane_rows + piece.y) * side.pitch + piece.x;
  }
  return at;
}

CUresult copy_pageable(const Context& context, StreamHandle stream, const Box& box) {
  State& s = state();
  const bool to_device = box.from.where == Where::pageable;
  const BoxSide& device = to_device ? box.to : box.from;
  const BoxSide& host = to_device ? box.from : box.to;
  const Pieces pieces(box.extent);
  const auto in_chunk = [&](u32 chunk, const Pieces::Piece& piece) {
    return Rows{s.staging.memory(chunk), piece.extent.width, piece.extent.height};
  };
  return staged(
      0, pieces.count(),
      [&](u64 index, u32 chunk, u32& ticket) {
        const Pieces::Piece piece = pieces[index];
        if (to_device) copy_rows(in_chunk(chunk, piece), rows_of(moved(host, piece)), piece.extent);
        const CopySide staged_side{static_cast<u64>(Staging::offset(chunk)),
                                   0,
                                   0,
                                   0,
                                   piece.extent.width,
                                   piece.extent.height,
                                   CopySide::kRegion,
                                   0};
        const CopySide other = wire_side(moved(device, piece));
        const u16 flags = index + 1 < pieces.count() ? VGPU_RECORD_MORE : 0;
        return s.channel->begin<call::cuMemcpy3DAsync>(
            Staging::slot(chunk), ticket, context.index(),
            {to_device ? staged_side : other, to_device ? other : staged_side, piece.extent, stream}, 0, no_tail,
            flags);
      },
      [&](u64 index, u32 chunk) {
        const Pieces::Piece piece = pieces[index];
        if (!to_device) copy_rows(rows_of(moved(host, piece)), in_chunk(chunk, piece), piece.extent);
      });
}

/// In a captured stream, where a side is host memory that the GPU can't reach, or both are host memory.
CUresult capture_pageable(const Context& context, StreamHandle stream, const Box& box) {
  const CopyExtent extent = box.extent;
  if (box.to.on_host() && box.from.on_host())
    return add_host_node(context, stream,
                         [to = rows_of(box.to), from = rows_of(box.from), extent] { copy_rows(to, from, extent); });
  const bool to_device = box.from.on_host();
  std::shared_ptr<Shadow> shadow;
  CUresult result = make_shadow(context, extent.width * extent.height * extent.depth, shadow);
  if (result != CUDA_SUCCESS) return result;
  const CopySide pinned{static_cast<u64>(shadow->offset()), 0, 0, 0, extent.width, extent.height, CopySide::kRegion, 0};
  const CopySide other = wire_side(to_device ? box.to : box.from);
  const call::cuMemcpy3DAsync::Request request{to_device ? pinned : other, to_device ? other : pinned, extent, stream};
  if (!to_device) {
    result = post<call::cuMemcpy3DAsync>(context.index(), request);
    if (result != CUDA_SUCCESS) return result;
  }
  const Rows host = rows_of(to_device ? box.from : box.to);
  result = add_host_node(context, stream, [shadow = std::move(shadow), host, extent, to_device] {
    const Rows packed{shadow->memory(), extent.width, extent.height};
    copy_rows(to_device ? packed : host, to_device ? host : packed, extent);
  });
  return result == CUDA_SUCCESS && to_device ? post<call::cuMemcpy3DAsync>(context.index(), request) : result;
}

}  // namespace

protocol::CopySide wire_side(const BoxSide& side) {
  if (side.array != 0) return {side.array, side.x, side.y, side.z, 0, 0, CopySide::kArray, 0};
  if (side.where != Where::pinned) return {side.address, 0, 0, 0, side.pitch, side.plane_rows, CopySide::kDevice, 0};
  const Offset offset = state().host_memory.offset(reinterpret_cast<const void*>(side.address));
  return {static_cast<u64>(offset), 0, 0, 0, side.pitch, side.plane_rows, CopySide::kRegion, 0};
}

CUresult read_box(const CUDA_MEMCPY3D& copy, Box& box) {
  if (copy.srcLOD != 0 || copy.dstLOD != 0) return CUDA_ERROR_INVALID_VALUE;
  box.extent = {copy.WidthInBytes, copy.Height, copy.Depth};
  if (copy.WidthInBytes == 0 || copy.Height == 0 || copy.Depth == 0) return CUDA_SUCCESS;
  const CUresult result = read_side({copy.srcMemoryType, copy.srcHost, copy.srcDevice, copy.srcArray, copy.srcXInBytes,
                                     copy.srcY, copy.srcZ, copy.srcPitch, copy.srcHeight},
                                    box.extent, box.from);
  if (result != CUDA_SUCCESS) return result;
  return read_side({copy.dstMemoryType, copy.dstHost, copy.dstDevice, copy.dstArray, copy.dstXInBytes, copy.dstY,
                    copy.dstZ, copy.dstPitch, copy.dstHeight},
                   box.extent, box.to);
}

CUresult copy_box(const Context& context, StreamHandle stream, const Box& box, When when) {
  if (box.extent.width == 0 || box.extent.height == 0 || box.extent.depth == 0) return CUDA_SUCCESS;
  if (any_capture()) [[unlikely]] {
    bool captured = false;
    const CUresult result =
        when == When::done ? refuse_synchronous(context, stream) : captures_stream(context, stream, captured);
    if (result != CUDA_SUCCESS) return result;
    if (captured && (box.to.where == Where::pageable || box.from.where == Where::pageable ||
                     (box.to.on_host() && box.from.on_host())))
      return capture_pageable(context, stream, box);
  }
  if (box.to.on_host() && box.from.on_host()) {
    const CUresult result = ask<call::cuStreamSynchronize>(context.index(), {stream});
    if (result == CUDA_SUCCESS) copy_rows(rows_of(box.to), rows_of(box.from), box.extent);
    return result;
  }
  if (box.to.where == Where::pageable || box.from.where == Where::pageable) return copy_pageable(context, stream, box);
  if (when == When::done)
    return ask<call::cuMemcpy3D>(context.index(), {wire_side(box.from), wire_side(box.to), box.extent, stream});
  return post<call::cuMemcpy3DAsync>(context.index(), {wire_side(box.from), wire_side(box.to), box.extent, stream});
}

}  // namespace vgpu::shim

using namespace vgpu::shim;

namespace {

CUresult copy_3d(const CUDA_MEMCPY3D* copy, CUstream stream, When when) {
  return with_stream(stream, [&](Context& context, StreamHandle handle) -> CUresult {
    if (!copy) return CUDA_ERROR_INVALID_VALUE;
    Box box;
    const CUresult result = read_box(*copy, box);
    return result == CUDA_SUCCESS ? copy_box(context, handle, box, when) : result;
  });
}

CUresult copy_2d(const CUDA_MEMCPY2D* copy, CUstream stream, When when) {
  if (!copy) return copy_3d(nullptr, stream, when);
  CUDA_MEMCPY3D whole{};
  whole.srcXInBytes = copy->srcXInBytes;
  whole.srcY = copy->srcY;
  whole.srcMemoryType = copy->srcMemoryType;
  whole.srcHost = copy->srcHost;
  whole.srcDevice = copy->srcDevice;
  whole.srcArray = copy->srcArray;
  whole.srcPitch = copy->srcPitch;
  whole.dstXInBytes = copy->dstXInBytes;
  whole.dstY = copy->dstY;
  whole.dstMemoryType = copy->dstMemoryType;
  whole.dstHost = copy->dstHost;
  whole.dstDevice = copy->dstDevice;
  whole.dstArray = copy->dstArray;
  whole.dstPitch = copy->dstPitch;
  whole.WidthInBytes = copy->WidthInBytes;
  whole.Height = copy->Height;
  whole.Depth = 1;
  return copy_3d(&whole, stream, when);
}

}  // namespace

CUresult cuMemcpy2D(const CUDA_MEMCPY2D* copy) { return copy_2d(copy, nullptr, When::done); }

// Any pitch is good for a copy by rows, which is what this form exists for.
CUresult cuMemcpy2DUnaligned(const CUDA_MEMCPY2D* copy) { return copy_2d(copy, nullptr, When::done); }

CUresult cuMemcpy2DAsync(const CUDA_MEMCPY2D* copy, CUstream stream) { return copy_2d(copy, stream, When::ordered); }

CUresult cuMemcpy3D(const CUDA_MEMCPY3D* copy) { return copy_3d(copy, nullptr, When::done); }

CUresult cuMemcpy3DAsync(const CUDA_MEMCPY3D* copy, CUstream stream) { return copy_3d(copy, stream, When::ordered); }
