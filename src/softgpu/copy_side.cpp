#include "softgpu/copy_side.hpp"

#include "softgpu/array.hpp"
#include "softgpu/device_attributes.hpp"
#include "softgpu/driver.hpp"

namespace vgpu::softgpu {

CUresult make_side(const CopySide& from, const Extent& extent, Side& side) {
  switch (from.type) {
    case CU_MEMORYTYPE_HOST:
      side.address = reinterpret_cast<std::uint64_t>(from.host);
      side.expect = Expect::host;
      break;
    case CU_MEMORYTYPE_DEVICE:
      side.address = from.device;
      side.expect = Expect::device;
      break;
    case CU_MEMORYTYPE_UNIFIED:
      side.address = from.device;
      side.expect = Expect::any;
      break;
    case CU_MEMORYTYPE_ARRAY: {
      const auto array = driver().arrays.find(from.array);
      return array == nullptr ? CUDA_ERROR_INVALID_HANDLE : array->side(from.x, from.y, from.z, extent, side);
    }
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
  if (side.address == 0) return CUDA_ERROR_INVALID_VALUE;
  // A pitch or a height of 0 means rows or planes without gaps.
  side.pitch = from.pitch != 0 ? from.pitch : from.x + extent.width;
  const std::uint64_t rows = from.rows != 0 ? from.rows : from.y + extent.height;
  if (side.pitch < extent.width || from.x > side.pitch - extent.width) return CUDA_ERROR_INVALID_VALUE;
  if (extent.depth > 1 && (rows < extent.height || from.y > rows - extent.height)) return CUDA_ERROR_INVALID_VALUE;
  if (side.expect == Expect::device && side.pitch > limits::kMaxPitch && extent.height > 1)
    return CUDA_ERROR_INVALID_VALUE;
  std::uint64_t offset = 0;
  std::uint64_t part = 0;
  if (__builtin_mul_overflow(side.pitch, rows, &side.slice) || __builtin_mul_overflow(side.slice, from.z, &offset) ||
      __builtin_mul_overflow(side.pitch, from.y, &part) || __builtin_add_overflow(offset, part, &offset) ||
      __builtin_add_overflow(offset, from.x, &offset) || __builtin_add_overflow(side.address, offset, &side.address)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

CUresult prepare_copy(const CUDA_MEMCPY3D& parameters, Copy& copy) {
  if (parameters.srcLOD != 0 || parameters.dstLOD != 0) return CUDA_ERROR_INVALID_VALUE;
  const Extent extent{parameters.WidthInBytes, parameters.Height, parameters.Depth};
  copy.extent = extent;
  if (extent.width == 0 || extent.height == 0 || extent.depth == 0) return CUDA_SUCCESS;
  Side destination;
  Side source;
  if (const CUresult error = make_side(destination_of(parameters), extent, destination); error != CUDA_SUCCESS) {
    return error;
  }
  if (const CUresult error = make_side(source_of(parameters), extent, source); error != CUDA_SUCCESS) return error;
  return prepare_copy(destination, source, extent, copy);
}

}  // namespace vgpu::softgpu
