#include <algorithm>

#include "executor/dispatch.hpp"
#include "executor/enum_range.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

/// Kinds of arrays whose memory the driver gives at once, and which belong to no other interface.
constexpr u32 kFlags = CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_SURFACE_LDST | CUDA_ARRAY3D_CUBEMAP |
                       CUDA_ARRAY3D_TEXTURE_GATHER | CUDA_ARRAY3D_DEPTH_TEXTURE | CUDA_ARRAY3D_COLOR_ATTACHMENT;

bool read_shape(const ArrayShape& shape, CUDA_ARRAY3D_DESCRIPTOR& descriptor) noexcept {
  descriptor = {};
  descriptor.Width = shape.width;
  descriptor.Height = shape.height;
  descriptor.Depth = shape.depth;
  descriptor.NumChannels = shape.channels;
  descriptor.Flags = shape.flags;
  return shape.zero == 0 && (shape.flags & ~kFlags) == 0 && to_enum<CU_AD_FORMAT_NV12>(shape.format, descriptor.Format);
}

u64 times(u64 a, u64 b) noexcept {
  u64 product = 0;
  return __builtin_mul_overflow(a, b, &product) ? ~u64{0} : product;
}

/// Bytes of a texel of one channel. Compressed and planar formats have at most one for each.
u64 channel_bytes(CUarray_format format) noexcept {
  switch (format) {
    case CU_AD_FORMAT_UNSIGNED_INT16:
    case CU_AD_FORMAT_SIGNED_INT16:
    case CU_AD_FORMAT_HALF:
      return 2;
    case CU_AD_FORMAT_UNSIGNED_INT32:
    case CU_AD_FORMAT_SIGNED_INT32:
    case CU_AD_FORMAT_FLOAT:
      return 4;
    default:
      return 1;
  }
}

/// What an array takes: its texels lie in tiles of 64 bytes by 8 rows.
u64 array_bytes(const CUDA_ARRAY3D_DESCRIPTOR& shape, unsigned levels) noexcept {
  constexpr u64 kTileBytes = 64;
  constexpr u64 kTileRows = 8;
  const bool layered = (shape.Flags & (CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_CUBEMAP)) != 0;
  u64 width = shape.Width;
  u64 height = shape.Height;
  u64 depth = shape.Depth;
  u64 sum = 0;
  for (unsigned level = 0; level < std::min(levels, 64u); ++level) {
    const u64 row = times(std::max<u64>(width, 1), shape.NumChannels * channel_bytes(shape.Format));
    if (row > ~u64{0} - kTileBytes || height > ~u64{0} - kTileRows) return ~u64{0};
    const u64 rows = height == 0 ? 1 : (height + kTileRows - 1) / kTileRows * kTileRows;
    const u64 bytes = times(times((row + kTileBytes - 1) / kTileBytes * kTileBytes, rows), std::max<u64>(depth, 1));
    if (__builtin_add_overflow(sum, bytes, &sum)) return ~u64{0};
    width /= 2;
    height = height == 0 ? 0 : std::max<u64>(height / 2, 1);
    if (!layered) depth = depth == 0 ? 0 : std::max<u64>(depth / 2, 1);
  }
  return sum;
}

/// Names an array that belongs to another.
CUresult give_part(Invocation& in, u64 owner, ArrayHandle handle, CUarray array, ArrayShape& shape) {
  CUDA_ARRAY3D_DESCRIPTOR descriptor{};
  const CUresult result = in.cuda.cuArray3DGetDescriptor_v2(&descriptor, array);
  if (result != CUDA_SUCCESS) return result;
  shape = {descriptor.Width,
           descriptor.Height,
           descriptor.Depth,
           static_cast<u32>(descriptor.Format),
           descriptor.NumChannels,
           descriptor.Flags,
           0};
  in.session.handles.put(handle, array);
  in.session.owned_arrays.add(owner, handle);
  return CUDA_SUCCESS;
}

void forget_parts(Invocation& in, u64 owner) {
  for (const ArrayHandle part : in.session.owned_arrays.take(owner)) in.session.handles.take<CUarray>(part);
}

}  // namespace

VGPU_HANDLER(cuArray3DCreate) {
  CUDA_ARRAY3D_DESCRIPTOR descriptor;
  if (!in.session.handles.vacant(request.array)) return CUDA_ERROR_INVALID_HANDLE;
  if (!read_shape(request.shape, descriptor)) return CUDA_ERROR_INVALID_VALUE;
  return in.session.memory.hold(array_bytes(descriptor, 1), in.header.context, [&](u64& key) {
    CUarray array = nullptr;
    const CUresult result = in.cuda.cuArray3DCreate_v2(&array, &descriptor);
    if (result == CUDA_SUCCESS) in.session.handles.put(request.array, array);
    key = DeviceMemory::key_of(array);
    return result;
  });
}

VGPU_HANDLER(cuArrayDestroy) {
  if (in.session.owned_arrays.has(request.array)) return CUDA_ERROR_INVALID_HANDLE;
  const auto array = in.session.handles.take<CUarray>(request.array);
  if (array == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  forget_parts(in, request.array.value);
  return in.session.memory.let_go(DeviceMemory::key_of(array), [&] { return in.cuda.cuArrayDestroy(array); });
}

VGPU_HANDLER(cuArrayGetPlane) {
  const auto array = in.session.handles.find<CUarray>(request.array);
  if (array == nullptr || !in.session.handles.vacant(request.plane)) return CUDA_ERROR_INVALID_HANDLE;
  CUarray plane = nullptr;
  const CUresult result = in.cuda.cuArrayGetPlane(&plane, array, request.number);
  return result == CUDA_SUCCESS ? give_part(in, request.array.value, request.plane, plane, reply.shape) : result;
}

VGPU_HANDLER(cuMipmappedArrayCreate) {
  CUDA_ARRAY3D_DESCRIPTOR descriptor;
  if (!in.session.handles.vacant(request.mipmapped)) return CUDA_ERROR_INVALID_HANDLE;
  if (!read_shape(request.shape, descriptor)) return CUDA_ERROR_INVALID_VALUE;
  return in.session.memory.hold(array_bytes(descriptor, request.levels), in.header.context, [&](u64& key) {
    CUmipmappedArray mipmapped = nullptr;
    const CUresult result = in.cuda.cuMipmappedArrayCreate(&mipmapped, &descriptor, request.levels);
    if (result == CUDA_SUCCESS) in.session.handles.put(request.mipmapped, mipmapped);
    key = DeviceMemory::key_of(mipmapped);
    return result;
  });
}

VGPU_HANDLER(cuMipmappedArrayDestroy) {
  const auto mipmapped = in.session.handles.take<CUmipmappedArray>(request.mipmapped);
  if (mipmapped == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  forget_parts(in, request.mipmapped.value);
  return in.session.memory.let_go(DeviceMemory::key_of(mipmapped),
                                  [&] { return in.cuda.cuMipmappedArrayDestroy(mipmapped); });
}

VGPU_HANDLER(cuMipmappedArrayGetLevel) {
  const auto mipmapped = in.session.handles.find<CUmipmappedArray>(request.mipmapped);
  if (mipmapped == nullptr || !in.session.handles.vacant(request.level)) return CUDA_ERROR_INVALID_HANDLE;
  CUarray level = nullptr;
  const CUresult result = in.cuda.cuMipmappedArrayGetLevel(&level, mipmapped, request.number);
  return result == CUDA_SUCCESS ? give_part(in, request.mipmapped.value, request.level, level, reply.shape) : result;
}

}  // namespace vgpu::executor
