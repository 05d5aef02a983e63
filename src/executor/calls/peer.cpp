// Access of one device to another's memory, and copies between them.
#include "executor/dispatch.hpp"
#include "executor/enum_range.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

CUcontext context_of(const Invocation& in, ContextHandle handle) noexcept {
  return handle.well_formed() ? in.session.contexts.find(handle.index()) : nullptr;
}

CUdeviceptr address(Pointer pointer) noexcept { return static_cast<CUdeviceptr>(pointer); }

/// The contexts of a copy. False: one of them is none.
template <typename Request>
bool ends(const Invocation& in, const Request& request, CUcontext& destination, CUcontext& source) noexcept {
  destination = context_of(in, request.destination_context);
  source = context_of(in, request.source_context);
  return destination != nullptr && source != nullptr;
}

CUresult copied(Invocation& in, CUresult result, u64 bytes) noexcept {
  if (result == CUDA_SUCCESS) bump(in.session.stats.copied_bytes[SessionStats::device_to_device], bytes);
  return result;
}

}  // namespace

VGPU_HANDLER(cuCtxEnablePeerAccess) {
  const CUcontext peer = context_of(in, request.peer);
  return peer != nullptr ? in.cuda.cuCtxEnablePeerAccess(peer, 0) : CUDA_ERROR_INVALID_CONTEXT;
}

VGPU_HANDLER(cuCtxDisablePeerAccess) {
  const CUcontext peer = context_of(in, request.peer);
  return peer != nullptr ? in.cuda.cuCtxDisablePeerAccess(peer) : CUDA_ERROR_INVALID_CONTEXT;
}

VGPU_HANDLER(cuDeviceCanAccessPeer) {
  CUdevice device = 0;
  CUdevice peer = 0;
  if (!in.session.device(request.device, device) || !in.session.device(request.peer, peer))
    return CUDA_ERROR_INVALID_DEVICE;
  int can = 0;
  const CUresult result = in.cuda.cuDeviceCanAccessPeer(&can, device, peer);
  reply.can = can != 0;
  return result;
}

VGPU_HANDLER(cuDeviceGetP2PAttribute) {
  CUdevice source = 0;
  CUdevice destination = 0;
  if (!in.session.device(request.source, source) || !in.session.device(request.destination, destination))
    return CUDA_ERROR_INVALID_DEVICE;
  CUdevice_P2PAttribute attribute{};
  if (!to_enum<CU_DEVICE_P2P_ATTRIBUTE_ONLY_PARTIAL_NATIVE_ATOMIC_SUPPORTED>(request.attribute, attribute))
    return CUDA_ERROR_INVALID_VALUE;
  int value = 0;
  const CUresult result = in.cuda.cuDeviceGetP2PAttribute(&value, attribute, source, destination);
  reply.value = value;
  return result;
}

VGPU_HANDLER(cuMemcpyPeer) {
  CUcontext destination = nullptr;
  CUcontext source = nullptr;
  if (!ends(in, request, destination, source)) return CUDA_ERROR_INVALID_CONTEXT;
  return copied(
      in,
      in.cuda.cuMemcpyPeer(address(request.destination), destination, address(request.source), source, request.bytes),
      request.bytes);
}

VGPU_HANDLER(cuMemcpyPeerAsync) {
  CUcontext destination = nullptr;
  CUcontext source = nullptr;
  CUstream stream = nullptr;
  if (!ends(in, request, destination, source)) return CUDA_ERROR_INVALID_CONTEXT;
  if (!in.stream(request.stream, stream)) return CUDA_ERROR_INVALID_HANDLE;
  return copied(in,
                in.cuda.cuMemcpyPeerAsync(address(request.destination), destination, address(request.source), source,
                                          request.bytes, stream),
                request.bytes);
}

}  // namespace vgpu::executor
