#include "executor/dispatch.hpp"
#include "protocol/payload.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

CUdeviceptr device_pointer(Pointer pointer) noexcept { return static_cast<CUdeviceptr>(pointer); }

/// Copies in from the tail or from the region; a slot is answered when the GPU has read the source.
template <typename Request>
CUresult host_to_device(Invocation& in, const Request& request) {
  CUstream stream = nullptr;
  if (!in.stream(request.stream, stream)) return CUDA_ERROR_INVALID_HANDLE;
  const bool in_tail = request.source == kInline;
  const std::byte* source = nullptr;
  if (in_tail) {
    if (request.bytes != in.tail.size() || request.bytes > kMaxInlineCopyBytes)
      return in.violate(VGPU_END_BAD_REQUEST, "length of inline data");
    source = in.tail.data();
  } else {
    source = in.session.region.span(request.source, request.bytes);
    if (source == nullptr) return in.violate(VGPU_END_BAD_BULK, "source");
  }
  // The ring is not registered with the driver: for such memory the driver has read the source when it returns (CUDA
  // driver API, "API synchronization behavior"), and the record's place may be used again.
  const CUresult result =
      in.cuda.cuMemcpyHtoDAsync_v2(device_pointer(request.destination), source, request.bytes, stream);
  if (result != CUDA_SUCCESS) return result;
  bump(in.session.stats.copied_bytes[SessionStats::host_to_device], request.bytes);
  return in_tail ? CUDA_SUCCESS : in.answer_after(stream);
}

template <typename Request>
CUresult device_to_host(Invocation& in, const Request& request) {
  CUstream stream = nullptr;
  if (!in.stream(request.stream, stream)) return CUDA_ERROR_INVALID_HANDLE;
  std::byte* destination = in.session.region.span(request.destination, request.bytes);
  if (destination == nullptr) return in.violate(VGPU_END_BAD_BULK, "destination");
  const CUresult result =
      in.cuda.cuMemcpyDtoHAsync_v2(destination, device_pointer(request.source), request.bytes, stream);
  if (result != CUDA_SUCCESS) return result;
  bump(in.session.stats.copied_bytes[SessionStats::device_to_host], request.bytes);
  return in.answer_after(stream);
}

template <typename Request>
CUresult device_to_device(Invocation& in, const Request& request) {
  CUstream stream = nullptr;
  if (!in.stream(request.stream, stream)) return CUDA_ERROR_INVALID_HANDLE;
  const CUresult result = in.cuda.cuMemcpyDtoDAsync_v2(device_pointer(request.destination),
                                                       device_pointer(request.source), request.bytes, stream);
  if (result == CUDA_SUCCESS) bump(in.session.stats.copied_bytes[SessionStats::device_to_device], request.bytes);
  return result;
}

/// The host side of a 2D copy: null if its rows do not lie within the region.
std::byte* rows(const Region& region, u64 offset, u64 pitch, u64 width, u64 height) noexcept {
  u64 extent = 0;
  if (width != 0 && height != 0 &&
      (__builtin_mul_overflow(pitch, height - 1, &extent) || __builtin_add_overflow(extent, width, &extent)))
    return nullptr;
  return region.span(Offset{offset}, extent);
}

template <typename Request>
CUresult copy_2d(Invocation& in, const Request& request) {
  CUstream stream = nullptr;
  if (!in.stream(request.stream, stream)) return CUDA_ERROR_INVALID_HANDLE;
  if (request.source_on_host > 1 || request.destination_on_host > 1)
    return in.violate(VGPU_END_BAD_REQUEST, "side of a copy");
  if (request.source_on_host != 0 && request.destination_on_host != 0) return CUDA_ERROR_INVALID_VALUE;
  CUDA_MEMCPY2D copy{};
  copy.WidthInBytes = request.width;
  copy.Height = request.height;
  copy.srcPitch = request.source_pitch;
  copy.dstPitch = request.destination_pitch;
  SessionStats::Direction direction = SessionStats::device_to_device;
  if (request.source_on_host != 0) {
    direction = SessionStats::host_to_device;
    copy.srcMemoryType = CU_MEMORYTYPE_HOST;
    copy.srcHost = rows(in.session.region, request.source, request.source_pitch, request.width, request.height);
    if (copy.srcHost == nullptr) return in.violate(VGPU_END_BAD_BULK, "source");
  } else {
    copy.srcMemoryType = CU_MEMORYTYPE_DEVICE;
    copy.srcDevice = request.source;
  }
  if (request.destination_on_host != 0) {
    direction = SessionStats::device_to_host;
    copy.dstMemoryType = CU_MEMORYTYPE_HOST;
    copy.dstHost =
        rows(in.session.region, request.destination, request.destination_pitch, request.width, request.height);
    if (copy.dstHost == nullptr) return in.violate(VGPU_END_BAD_BULK, "destination");
  } else {
    copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
    copy.dstDevice = request.destination;
  }
  const CUresult result = in.cuda.cuMemcpy2DAsync_v2(&copy, stream);
  if (result != CUDA_SUCCESS) return result;
  bump(in.session.stats.copied_bytes[direction], request.width * request.height);
  return in.answer_after(stream);
}

}  // namespace

VGPU_HANDLER(cuMemcpyHtoD) { return host_to_device(in, request); }
VGPU_HANDLER(cuMemcpyHtoDAsync) { return host_to_device(in, request); }
VGPU_HANDLER(cuMemcpyDtoH) { return device_to_host(in, request); }
VGPU_HANDLER(cuMemcpyDtoHAsync) { return device_to_host(in, request); }
VGPU_HANDLER(cuMemcpyDtoD) { return device_to_device(in, request); }
VGPU_HANDLER(cuMemcpyDtoDAsync) { return device_to_device(in, request); }
VGPU_HANDLER(cuMemcpy2D) { return copy_2d(in, request); }
VGPU_HANDLER(cuMemcpy2DAsync) { return copy_2d(in, request); }

namespace {

/// A memset of `unit`-byte values through the driver's function for it.
template <typename Unit, typename Request, typename Function>
CUresult set_1d(Invocation& in, const Request& request, Function function) {
  CUstream stream = nullptr;
  if (!in.stream(request.stream, stream)) return CUDA_ERROR_INVALID_HANDLE;
  return function(device_pointer(request.destination), static_cast<Unit>(request.value), request.count, stream);
}

template <typename Unit, typename Request, typename Function>
CUresult set_2d(Invocation& in, const Request& request, Function function) {
  CUstream stream = nullptr;
  if (!in.stream(request.stream, stream)) return CUDA_ERROR_INVALID_HANDLE;
  return function(device_pointer(request.destination), request.pitch, static_cast<Unit>(request.value), request.width,
                  request.height, stream);
}

}  // namespace

VGPU_HANDLER(cuMemsetD8Async) { return set_1d<unsigned char>(in, request, in.cuda.cuMemsetD8Async); }
VGPU_HANDLER(cuMemsetD16Async) { return set_1d<unsigned short>(in, request, in.cuda.cuMemsetD16Async); }
VGPU_HANDLER(cuMemsetD32Async) { return set_1d<unsigned>(in, request, in.cuda.cuMemsetD32Async); }
VGPU_HANDLER(cuMemsetD2D8Async) { return set_2d<unsigned char>(in, request, in.cuda.cuMemsetD2D8Async); }
VGPU_HANDLER(cuMemsetD2D16Async) { return set_2d<unsigned short>(in, request, in.cuda.cuMemsetD2D16Async); }
VGPU_HANDLER(cuMemsetD2D32Async) { return set_2d<unsigned>(in, request, in.cuda.cuMemsetD2D32Async); }

}  // namespace vgpu::executor
