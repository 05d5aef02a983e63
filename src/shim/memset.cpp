// Memsets: asynchronous towards the program, as the driver's are, except on pinned memory.
#include "shim/copy.hpp"

using namespace vgpu::shim;

namespace {

/// The synchronous forms wait only where the program could look at the memory itself.
CUresult settle(const Context& context, StreamHandle stream, CUdeviceptr destination, CUresult result, When when) {
  if (result != CUDA_SUCCESS || when == When::ordered || where(destination, 1) != Where::pinned) return result;
  return ask<call::cuStreamSynchronize>(context.index(), {stream});
}

template <typename Call>
CUresult fill(CUdeviceptr destination, u32 value, u64 count, u64 element, CUstream stream, When when) {
  return with_stream(stream, [&](Context& context, StreamHandle handle) -> CUresult {
    if (count == 0) return CUDA_SUCCESS;
    if (destination == 0 || destination % element != 0) return CUDA_ERROR_INVALID_VALUE;
    return settle(context, handle, destination,
                  post<Call>(context.index(), {Pointer{destination}, count, handle, value, 0}), when);
  });
}

template <typename Call>
CUresult fill_2d(CUdeviceptr destination, u64 pitch, u32 value, u64 width, u64 height, u64 element, CUstream stream,
                 When when) {
  return with_stream(stream, [&](Context& context, StreamHandle handle) -> CUresult {
    if (width == 0 || height == 0) return CUDA_SUCCESS;
    if (destination == 0 || destination % element != 0 ||
        (height > 1 && (pitch % element != 0 || pitch / element < width)))
      return CUDA_ERROR_INVALID_VALUE;
    return settle(context, handle, destination,
                  post<Call>(context.index(), {Pointer{destination}, pitch, width, height, handle, value, 0}), when);
  });
}

}  // namespace

CUresult cuMemsetD8(CUdeviceptr to, unsigned char value, size_t count) {
  return fill<call::cuMemsetD8Async>(to, value, count, 1, nullptr, When::done);
}
CUresult cuMemsetD16(CUdeviceptr to, unsigned short value, size_t count) {
  return fill<call::cuMemsetD16Async>(to, value, count, 2, nullptr, When::done);
}
CUresult cuMemsetD32(CUdeviceptr to, unsigned int value, size_t count) {
  return fill<call::cuMemsetD32Async>(to, value, count, 4, nullptr, When::done);
}
CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t count, CUstream stream) {
  return fill<call::cuMemsetD8Async>(to, value, count, 1, stream, When::ordered);
}
CUresult cuMemsetD16Async(CUdeviceptr to, unsigned short value, size_t count, CUstream stream) {
  return fill<call::cuMemsetD16Async>(to, value, count, 2, stream, When::ordered);
}
CUresult cuMemsetD32Async(CUdeviceptr to, unsigned int value, size_t count, CUstream stream) {
  return fill<call::cuMemsetD32Async>(to, value, count, 4, stream, When::ordered);
}

CUresult cuMemsetD2D8(CUdeviceptr to, size_t pitch, unsigned char value, size_t width, size_t height) {
  return fill_2d<call::cuMemsetD2D8Async>(to, pitch, value, width, height, 1, nullptr, When::done);
}
CUresult cuMemsetD2D16(CUdeviceptr to, size_t pitch, unsigned short value, size_t width, size_t height) {
  return fill_2d<call::cuMemsetD2D16Async>(to, pitch, value, width, height, 2, nullptr, When::done);
}
CUresult cuMemsetD2D32(CUdeviceptr to, size_t pitch, unsigned int value, size_t width, size_t height) {
  return fill_2d<call::cuMemsetD2D32Async>(to, pitch, value, width, height, 4, nullptr, When::done);
}
CUresult cuMemsetD2D8Async(CUdeviceptr to, size_t pitch, unsigned char value, size_t width, size_t height,
                           CUstream stream) {
  return fill_2d<call::cuMemsetD2D8Async>(to, pitch, value, width, height, 1, stream, When::ordered);
}
CUresult cuMemsetD2D16Async(CUdeviceptr to, size_t pitch, unsigned short value, size_t width, size_t height,
                            CUstream stream) {
  return fill_2d<call::cuMemsetD2D16Async>(to, pitch, value, width, height, 2, stream, When::ordered);
}
CUresult cuMemsetD2D32Async(CUdeviceptr to, size_t pitch, unsigned int value, size_t width, size_t height,
                            CUstream stream) {
  return fill_2d<call::cuMemsetD2D32Async>(to, pitch, value, width, height, 4, stream, When::ordered);
}
