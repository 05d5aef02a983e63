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
  CUarray array = nullptr;
  const CUresult result = in.cuda.cuArray3DCreate_v2(&array, &descriptor);
  if (result == CUDA_SUCCESS) in.session.handles.put(request.array, array);
  return result;
}

VGPU_HANDLER(cuArrayDestroy) {
  if (in.session.owned_arrays.has(request.array)) return CUDA_ERROR_INVALID_HANDLE;
  const auto array = in.session.handles.take<CUarray>(request.array);
  if (array == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  forget_parts(in, request.array.value);
  return in.cuda.cuArrayDestroy(array);
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
  CUmipmappedArray mipmapped = nullptr;
  const CUresult result = in.cuda.cuMipmappedArrayCreate(&mipmapped, &descriptor, request.levels);
  if (result == CUDA_SUCCESS) in.session.handles.put(request.mipmapped, mipmapped);
  return result;
}

VGPU_HANDLER(cuMipmappedArrayDestroy) {
  const auto mipmapped = in.session.handles.take<CUmipmappedArray>(request.mipmapped);
  if (mipmapped == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  forget_parts(in, request.mipmapped.value);
  return in.cuda.cuMipmappedArrayDestroy(mipmapped);
}

VGPU_HANDLER(cuMipmappedArrayGetLevel) {
  const auto mipmapped = in.session.handles.find<CUmipmappedArray>(request.mipmapped);
  if (mipmapped == nullptr || !in.session.handles.vacant(request.level)) return CUDA_ERROR_INVALID_HANDLE;
  CUarray level = nullptr;
  const CUresult result = in.cuda.cuMipmappedArrayGetLevel(&level, mipmapped, request.number);
  return result == CUDA_SUCCESS ? give_part(in, request.mipmapped.value, request.level, level, reply.shape) : result;
}

}  // namespace vgpu::executor
