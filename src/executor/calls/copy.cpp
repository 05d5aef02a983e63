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

}  // namespace

VGPU_HANDLER(cuMemcpyHtoD) { return host_to_device(in, request); }
VGPU_HANDLER(cuMemcpyHtoDAsync) { return host_to_device(in, request); }
VGPU_HANDLER(cuMemcpyDtoH) { return device_to_host(in, request); }
VGPU_HANDLER(cuMemcpyDtoHAsync) { return device_to_host(in, request); }
VGPU_HANDLER(cuMemcpyDtoD) { return device_to_device(in, request); }
VGPU_HANDLER(cuMemcpyDtoDAsync) { return device_to_device(in, request); }

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
