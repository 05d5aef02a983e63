#include "softgpu/copy.hpp"
#include "softgpu/guard.hpp"

/// The fills, in the variants that copy_api.cpp describes.
using namespace vgpu::softgpu;

namespace {

CUresult set(CUstream handle, CUdeviceptr destination, std::size_t pitch, std::uint32_t value, unsigned element_bytes,
             std::size_t width, std::size_t height, bool asynchronous) {
  return with_stream(handle, [&](Context&, Stream& stream) {
    return fill(stream, destination, pitch, value, element_bytes, {width, height, 1}, asynchronous);
  });
}

constexpr CUstream kLegacy = nullptr;
const CUstream kPerThread = CU_STREAM_PER_THREAD;

}  // namespace

#undef cuMemsetD8
#undef cuMemsetD8Async
#undef cuMemsetD2D8
#undef cuMemsetD2D8Async
#undef cuMemsetD16
#undef cuMemsetD16Async
#undef cuMemsetD2D16
#undef cuMemsetD2D16Async
#undef cuMemsetD32
#undef cuMemsetD32Async
#undef cuMemsetD2D32
#undef cuMemsetD2D32Async

VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemsetD8_v2(CUdeviceptr destination, unsigned char value, size_t count) {
  return set(kLegacy, destination, 0, value, 1, count, 1, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemsetD8_v2_ptds(CUdeviceptr destination, unsigned char value, size_t count) {
  return set(kPerThread, destination, 0, value, 1, count, 1, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemsetD8Async(CUdeviceptr destination, unsigned char value, size_t count,
                                                  CUstream stream) {
  return set(stream, destination, 0, value, 1, count, 1, true);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemsetD8Async_ptsz(CUdeviceptr destination, unsigned char value, size_t count,
                                                       CUstream stream) {
  return set(per_thread(stream), destination, 0, value, 1, count, 1, true);
}

VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemsetD2D8_v2(CUdeviceptr destination, size_t pitch, unsigned char value,
                                                  size_t width, size_t height) {
  return set(kLegacy, destination, pitch, value, 1, width, height, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemsetD2D8_v2_ptds(CUdeviceptr destination, size_t pitch, unsigned char value,
                                                       size_t width, size_t height) {
  return set(kPerThread, destination, pitch, value, 1, width, height, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemsetD2D8Async(CUdeviceptr destination, size_t pitch, unsigned char value,
                                                    size_t width, size_t height, CUstream stream) {
  return set(stream, destination, pitch, value, 1, width, height, true);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemsetD2D8Async_ptsz(CUdeviceptr destination, size_t pitch, unsigned char value,
                                                         size_t width, size_t height, CUstream stream) {
  return set(per_thread(stream), destination, pitch, value, 1, width, height, true);
}

VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemsetD16_v2(CUdeviceptr destination, unsigned short value, size_t count) {
  return set(kLegacy, destination, 0, value, 2, count, 1, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemsetD16_v2_ptds(CUdeviceptr destination, unsigned short value, size_t count) {
  return set(kPerThread, destination, 0, value, 2, count, 1, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemsetD16Async(CUdeviceptr destination, unsigned short value, size_t count,
                                                   CUstream stream) {
  return set(stream, destination, 0, value, 2, count, 1, true);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemsetD16Async_ptsz(CUdeviceptr destination, unsigned short value, size_t count,
                                                        CUstream stream) {
  return set(per_thread(stream), destination, 0, value, 2, count, 1, true);
}

VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemsetD2D16_v2(CUdeviceptr destination, size_t pitch, unsigned short value,
                                                   size_t width, size_t height) {
  return set(kLegacy, destination, pitch, value, 2, width, height, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemsetD2D16_v2_ptds(CUdeviceptr destination, size_t pitch, unsigned short value,
                                                        size_t width, size_t height) {
  return set(kPerThread, destination, pitch, value, 2, width, height, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemsetD2D16Async(CUdeviceptr destination, size_t pitch, unsigned short value,
                                                     size_t width, size_t height, CUstream stream) {
  return set(stream, destination, pitch, value, 2, width, height, true);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemsetD2D16Async_ptsz(CUdeviceptr destination, size_t pitch, unsigned short value,
                                                          size_t width, size_t height, CUstream stream) {
  return set(per_thread(stream), destination, pitch, value, 2, width, height, true);
}

VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemsetD32_v2(CUdeviceptr destination, unsigned int value, size_t count) {
  return set(kLegacy, destination, 0, value, 4, count, 1, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemsetD32_v2_ptds(CUdeviceptr destination, unsigned int value, size_t count) {
  return set(kPerThread, destination, 0, value, 4, count, 1, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemsetD32Async(CUdeviceptr destination, unsigned int value, size_t count,
                                                   CUstream stream) {
  return set(stream, destination, 0, value, 4, count, 1, true);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemsetD32Async_ptsz(CUdeviceptr destination, unsigned int value, size_t count,
                                                        CUstream stream) {
  return set(per_thread(stream), destination, 0, value, 4, count, 1, true);
}

VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemsetD2D32_v2(CUdeviceptr destination, size_t pitch, unsigned int value,
                                                   size_t width, size_t height) {
  return set(kLegacy, destination, pitch, value, 4, width, height, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemsetD2D32_v2_ptds(CUdeviceptr destination, size_t pitch, unsigned int value,
                                                        size_t width, size_t height) {
  return set(kPerThread, destination, pitch, value, 4, width, height, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemsetD2D32Async(CUdeviceptr destination, size_t pitch, unsigned int value,
                                                     size_t width, size_t height, CUstream stream) {
  return set(stream, destination, pitch, value, 4, width, height, true);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemsetD2D32Async_ptsz(CUdeviceptr destination, size_t pitch, unsigned int value,
                                                          size_t width, size_t height, CUstream stream) {
  return set(per_thread(stream), destination, pitch, value, 4, width, height, true);
}
