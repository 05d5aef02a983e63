// Tensor maps: the host's driver encodes them, because only it knows how its GPU reads them.
#include <algorithm>
#include <cstring>

#include "shim/context.hpp"

using namespace vgpu::shim;

namespace {

using vgpu::protocol::PixelCorner;
using vgpu::protocol::TensorDescription;
using vgpu::protocol::TensorExtents;

/// Copies the first `count` of a list that the program may have left out.
template <typename To, typename From>
void take(To& to, const From* from, u32 count, TensorDescription::List list, u32& given) noexcept {
  if (!from) return;
  given |= list;
  std::copy_n(from, count, to.begin());
}

struct Common {
  CUtensorMap* map;
  CUtensorMapDataType type;
  cuuint32_t rank;
  void* address;
  const cuuint64_t* dimensions;
  const cuuint64_t* strides;
  const cuuint32_t* element_strides;
  CUtensorMapInterleave interleave;
  CUtensorMapSwizzle swizzle;
  CUtensorMapL2promotion promotion;
  CUtensorMapFloatOOBfill fill;
};

/// The driver's checks of what can't be sent; all others are the host's.
CUresult describe(const Common& from, u32 least_rank, TensorDescription& to) noexcept {
  constexpr u64 kAlignment = 64;  // cuda.h, "tensorMap address must be aligned to 64 bytes"
  if (!from.map || reinterpret_cast<u64>(from.map) % kAlignment != 0) return CUDA_ERROR_INVALID_VALUE;
  if (from.rank < least_rank || from.rank > TensorDescription::kMaxRank) return CUDA_ERROR_INVALID_VALUE;
  to.address = Pointer{reinterpret_cast<u64>(from.address)};
  take(to.dimensions, from.dimensions, from.rank, TensorDescription::kDimensions, to.given);
  take(to.strides, from.strides, from.rank - 1, TensorDescription::kStrides, to.given);
  take(to.element_strides, from.element_strides, from.rank, TensorDescription::kElementStrides, to.given);
  to.data_type = static_cast<u32>(from.type);
  to.rank = from.rank;
  to.interleave = static_cast<u32>(from.interleave);
  to.swizzle = static_cast<u32>(from.swizzle);
  to.l2_promotion = static_cast<u32>(from.promotion);
  to.fill = static_cast<u32>(from.fill);
  return CUDA_SUCCESS;
}

/// Asks for a map; the program's memory changes only when there is one. `complete` adds what the form has of its own.
template <typename Call, typename Complete>
CUresult encode(const Common& common, u32 least_rank, Complete&& complete) noexcept {
  return guarded([&]() -> CUresult {
    typename Call::Request request{};
    if (const CUresult result = describe(common, least_rank, request.tensor); result != CUDA_SUCCESS) return result;
    complete(request);
    typename Call::Reply reply{};
    const CUresult result = ask<Call>(any_context_index(), request, &reply);
    if (result == CUDA_SUCCESS) std::memcpy(common.map, reply.map.data(), sizeof reply.map);
    return result;
  });
}

static_assert(sizeof(CUtensorMap) == sizeof(vgpu::protocol::TensorMapWords));

/// An im2col map has channels, images and at least one dimension between them.
constexpr u32 kLeastPixelRank = 3;

}  // namespace

CUresult cuTensorMapEncodeTiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* address,
                                const cuuint64_t* dimensions, const cuuint64_t* strides, const cuuint32_t* box,
                                const cuuint32_t* element_strides, CUtensorMapInterleave interleave,
                                CUtensorMapSwizzle swizzle, CUtensorMapL2promotion promotion,
                                CUtensorMapFloatOOBfill fill) {
  return encode<call::cuTensorMapEncodeTiled>(
      {map, type, rank, address, dimensions, strides, element_strides, interleave, swizzle, promotion, fill}, 1,
      [&](auto& request) { take(request.box, box, rank, TensorDescription::kBox, request.tensor.given); });
}

CUresult cuTensorMapEncodeIm2col(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* address,
                                 const cuuint64_t* dimensions, const cuuint64_t* strides, const int* lower_corner,
                                 const int* upper_corner, cuuint32_t channels_per_pixel, cuuint32_t pixels_per_column,
                                 const cuuint32_t* element_strides, CUtensorMapInterleave interleave,
                                 CUtensorMapSwizzle swizzle, CUtensorMapL2promotion promotion,
                                 CUtensorMapFloatOOBfill fill) {
  return encode<call::cuTensorMapEncodeIm2col>(
      {map, type, rank, address, dimensions, strides, element_strides, interleave, swizzle, promotion, fill},
      kLeastPixelRank, [&](auto& request) {
        take(request.lower_corner, lower_corner, rank - 2, TensorDescription::kBox, request.tensor.given);
        take(request.upper_corner, upper_corner, rank - 2, TensorDescription::kUpperCorner, request.tensor.given);
        request.channels_per_pixel = channels_per_pixel;
        request.pixels_per_column = pixels_per_column;
      });
}

CUresult cuTensorMapEncodeIm2colWide(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* address,
                                     const cuuint64_t* dimensions, const cuuint64_t* strides, int lower_corner_width,
                                     int upper_corner_width, cuuint32_t channels_per_pixel,
                                     cuuint32_t pixels_per_column, const cuuint32_t* element_strides,
                                     CUtensorMapInterleave interleave, CUtensorMapIm2ColWideMode mode,
                                     CUtensorMapSwizzle swizzle, CUtensorMapL2promotion promotion,
                                     CUtensorMapFloatOOBfill fill) {
  return encode<call::cuTensorMapEncodeIm2colWide>(
      {map, type, rank, address, dimensions, strides, element_strides, interleave, swizzle, promotion, fill},
      kLeastPixelRank, [&](auto& request) {
        request.lower_corner_width = lower_corner_width;
        request.upper_corner_width = upper_corner_width;
        request.channels_per_pixel = channels_per_pixel;
        request.pixels_per_column = pixels_per_column;
        request.wide_mode = static_cast<u32>(mode);
      });
}

CUresult cuTensorMapReplaceAddress(CUtensorMap* map, void* address) {
  return guarded([&]() -> CUresult {
    if (!map) return CUDA_ERROR_INVALID_VALUE;
    call::cuTensorMapReplaceAddress::Request request{};
    std::memcpy(request.old_map.data(), map, sizeof request.old_map);
    request.address = Pointer{reinterpret_cast<u64>(address)};
    call::cuTensorMapReplaceAddress::Reply reply{};
    const CUresult result = ask<call::cuTensorMapReplaceAddress>(any_context_index(), request, &reply);
    if (result == CUDA_SUCCESS) std::memcpy(map, reply.map.data(), sizeof reply.map);
    return result;
  });
}
