#include <cstring>

#include "executor/dispatch.hpp"
#include "executor/enum_range.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

/// The program's lists and enumerations as the driver takes them.
struct Tensor {
  explicit Tensor(const TensorDescription& from) noexcept : description(from) {}

  /// False: an enumeration that C++ can't hold, or a rank without lists of that length.
  bool good() noexcept {
    return description.rank >= 1 && description.rank <= TensorDescription::kMaxRank &&
           (description.given & ~TensorDescription::kLists) == 0 &&
           to_enum<CU_TENSOR_MAP_DATA_TYPE_16U6_ALIGN16B>(description.data_type, type) &&
           to_enum<CU_TENSOR_MAP_INTERLEAVE_32B>(description.interleave, interleave) &&
           to_enum<CU_TENSOR_MAP_SWIZZLE_128B_ATOM_64B>(description.swizzle, swizzle) &&
           to_enum<CU_TENSOR_MAP_L2_PROMOTION_L2_256B>(description.l2_promotion, promotion) &&
           to_enum<CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA>(description.fill, fill);
  }

  template <typename List>
  const typename List::value_type* list(const List& values, TensorDescription::List which) const noexcept {
    return (description.given & which) != 0 ? values.data() : nullptr;
  }
  void* address() const noexcept { return reinterpret_cast<void*>(description.address); }
  const u64* dimensions() const noexcept { return list(description.dimensions, TensorDescription::kDimensions); }
  const u64* strides() const noexcept { return list(description.strides, TensorDescription::kStrides); }
  const u32* element_strides() const noexcept {
    return list(description.element_strides, TensorDescription::kElementStrides);
  }

  TensorDescription description;
  CUtensorMapDataType type{};
  CUtensorMapInterleave interleave{};
  CUtensorMapSwizzle swizzle{};
  CUtensorMapL2promotion promotion{};
  CUtensorMapFloatOOBfill fill{};
};

template <typename Reply>
CUresult give(CUresult result, const CUtensorMap& map, Reply& reply) noexcept {
  static_assert(sizeof map == sizeof reply.map);
  if (result == CUDA_SUCCESS) std::memcpy(reply.map.data(), &map, sizeof map);
  return result;
}

}  // namespace

VGPU_HANDLER(cuTensorMapEncodeTiled) {
  Tensor tensor(request.tensor);
  if (!tensor.good()) return CUDA_ERROR_INVALID_VALUE;
  CUtensorMap map{};
  const CUresult result = in.cuda.cuTensorMapEncodeTiled(
      &map, tensor.type, tensor.description.rank, tensor.address(), tensor.dimensions(), tensor.strides(),
      tensor.list(request.box, TensorDescription::kBox), tensor.element_strides(), tensor.interleave, tensor.swizzle,
      tensor.promotion, tensor.fill);
  return give(result, map, reply);
}

VGPU_HANDLER(cuTensorMapEncodeIm2col) {
  Tensor tensor(request.tensor);
  if (!tensor.good()) return CUDA_ERROR_INVALID_VALUE;
  CUtensorMap map{};
  const CUresult result =
      in.cuda.cuTensorMapEncodeIm2col(&map, tensor.type, tensor.description.rank, tensor.address(), tensor.dimensions(),
                                      tensor.strides(), tensor.list(request.lower_corner, TensorDescription::kBox),
                                      tensor.list(request.upper_corner, TensorDescription::kUpperCorner),
                                      request.channels_per_pixel, request.pixels_per_column, tensor.element_strides(),
                                      tensor.interleave, tensor.swizzle, tensor.promotion, tensor.fill);
  return give(result, map, reply);
}

VGPU_HANDLER(cuTensorMapEncodeIm2colWide) {
  Tensor tensor(request.tensor);
  CUtensorMapIm2ColWideMode mode{};
  if (!tensor.good() || !to_enum<CU_TENSOR_MAP_IM2COL_WIDE_MODE_W128>(request.wide_mode, mode))
    return CUDA_ERROR_INVALID_VALUE;
  CUtensorMap map{};
  const CUresult result = in.cuda.cuTensorMapEncodeIm2colWide(
      &map, tensor.type, tensor.description.rank, tensor.address(), tensor.dimensions(), tensor.strides(),
      request.lower_corner_width, request.upper_corner_width, request.channels_per_pixel, request.pixels_per_column,
      tensor.element_strides(), tensor.interleave, mode, tensor.swizzle, tensor.promotion, tensor.fill);
  return give(result, map, reply);
}

VGPU_HANDLER(cuTensorMapReplaceAddress) {
  CUtensorMap map{};
  std::memcpy(&map, request.old_map.data(), sizeof map);
  const CUresult result = in.cuda.cuTensorMapReplaceAddress(&map, reinterpret_cast<void*>(request.address));
  return give(result, map, reply);
}

}  // namespace vgpu::executor
