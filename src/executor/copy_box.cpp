#include "executor/copy_box.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

/// From the first byte of rows and planes to the last; false: no number is that large.
bool extent_in_memory(const CopySide& side, const CopyExtent& extent, u64& bytes) noexcept {
  bytes = 0;
  if (extent.width == 0 || extent.height == 0 || extent.depth == 0) return true;
  u64 planes = 0;
  return !__builtin_mul_overflow(side.plane_rows, extent.depth - 1, &planes) &&
         !__builtin_add_overflow(planes, extent.height - 1, &planes) &&
         !__builtin_mul_overflow(planes, side.pitch, &bytes) && !__builtin_add_overflow(bytes, extent.width, &bytes);
}

struct Place {
  CUmemorytype type{};
  void* host = nullptr;
  CUdeviceptr device = 0;
  CUarray array = nullptr;
};

CUresult read_side(Invocation& in, const CopySide& side, const CopyExtent& extent, Place& place) {
  if (side.zero != 0 || side.kind > CopySide::kArray) return in.violate(VGPU_END_BAD_REQUEST, "side of a copy");
  u64 bytes = 0;
  switch (side.kind) {
    case CopySide::kArray:
      place.type = CU_MEMORYTYPE_ARRAY;
      place.array = in.session.handles.find<CUarray>(ArrayHandle{side.base});
      return place.array != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
    case CopySide::kRegion:
      place.type = CU_MEMORYTYPE_HOST;
      // What the driver makes of a missing pitch must not decide how far the copy reaches.
      if ((side.pitch == 0 && (extent.height > 1 || extent.depth > 1)) || (side.plane_rows == 0 && extent.depth > 1))
        return CUDA_ERROR_INVALID_VALUE;
      if (extent_in_memory(side, extent, bytes)) place.host = in.session.region.span(Offset{side.base}, bytes);
      return place.host != nullptr ? CUDA_SUCCESS : in.violate(VGPU_END_BAD_BULK, "rows of a copy");
    default:
      place.type = CU_MEMORYTYPE_DEVICE;
      place.device = side.base;
      return CUDA_SUCCESS;
  }
}

}  // namespace

CUresult read_copy(Invocation& in, const CopySide& source, const CopySide& destination, const CopyExtent& extent,
                   CUDA_MEMCPY3D& copy) {
  Place from;
  Place to;
  CUresult result = read_side(in, source, extent, from);
  if (result == CUDA_SUCCESS) result = read_side(in, destination, extent, to);
  if (result != CUDA_SUCCESS) return result;
  if (from.host != nullptr && to.host != nullptr) return CUDA_ERROR_INVALID_VALUE;
  copy = {};
  copy.srcMemoryType = from.type;
  copy.srcHost = from.host;
  copy.srcDevice = from.device;
  copy.srcArray = from.array;
  copy.srcPitch = source.pitch;
  copy.srcHeight = source.plane_rows;
  copy.dstMemoryType = to.type;
  copy.dstHost = to.host;
  copy.dstDevice = to.device;
  copy.dstArray = to.array;
  copy.dstPitch = destination.pitch;
  copy.dstHeight = destination.plane_rows;
  // In memory a side begins at its base: an origin beside it could lead out of what was checked.
  if (from.array != nullptr) {
    copy.srcXInBytes = source.x;
    copy.srcY = source.y;
    copy.srcZ = source.z;
  }
  if (to.array != nullptr) {
    copy.dstXInBytes = destination.x;
    copy.dstY = destination.y;
    copy.dstZ = destination.z;
  }
  copy.WidthInBytes = extent.width;
  copy.Height = extent.height;
  copy.Depth = extent.depth;
  return CUDA_SUCCESS;
}

namespace {

template <typename Request>
CUresult copy_box(Invocation& in, const Request& request) {
  CUstream stream = nullptr;
  if (!in.stream(request.stream, stream)) return CUDA_ERROR_INVALID_HANDLE;
  CUDA_MEMCPY3D copy;
  CUresult result = read_copy(in, request.source, request.destination, request.extent, copy);
  if (result == CUDA_SUCCESS) result = in.cuda.cuMemcpy3DAsync_v2(&copy, stream);
  if (result != CUDA_SUCCESS) return result;
  const auto direction = copy.srcMemoryType == CU_MEMORYTYPE_HOST   ? SessionStats::host_to_device
                         : copy.dstMemoryType == CU_MEMORYTYPE_HOST ? SessionStats::device_to_host
                                                                    : SessionStats::device_to_device;
  bump(in.session.stats.copied_bytes[direction], request.extent.width * request.extent.height * request.extent.depth);
  return in.answer_after(stream);
}

}  // namespace

VGPU_HANDLER(cuMemcpy3D) { return copy_box(in, request); }
VGPU_HANDLER(cuMemcpy3DAsync) { return copy_box(in, request); }

}  // namespace vgpu::executor
