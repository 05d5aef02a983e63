// Copies between the memory of two contexts, which may be of two devices.
#include "shim/captured_copy.hpp"
#include "shim/copy.hpp"

namespace vgpu::shim {
namespace {

CUresult copy_peer(CUdeviceptr destination, CUcontext to, CUdeviceptr source, CUcontext from, u64 bytes,
                   CUstream stream, When when) {
  return with_stream(stream, [&](Context& context, StreamHandle handle) -> CUresult {
    const Context* destination_context = find_context(to);
    const Context* source_context = find_context(from);
    if (!destination_context || !source_context) return CUDA_ERROR_INVALID_CONTEXT;
    if (bytes == 0) return CUDA_SUCCESS;
    if (destination == 0 || source == 0) return CUDA_ERROR_INVALID_VALUE;
    const call::cuMemcpyPeerAsync::Request request{
        Pointer{destination}, {destination_context->handle}, Pointer{source}, {source_context->handle}, bytes, handle};
    if (when == When::ordered) return post<call::cuMemcpyPeerAsync>(context.index(), request);
    if (const CUresult result = refuse_synchronous(context, handle); result != CUDA_SUCCESS) return result;
    // Only in the legacy stream has the driver a form of its own, which waits for both contexts' work.
    if (handle.value != 0) return ask<call::cuMemcpyPeerAsync>(context.index(), request);
    return ask<call::cuMemcpyPeer>(context.index(), {request.destination, request.destination_context, request.source,
                                                     request.source_context, bytes});
  });
}

/// The copy without its contexts, which the addresses tell anyway; CUDA_ERROR_INVALID_CONTEXT if one is none.
CUresult without_contexts(const CUDA_MEMCPY3D_PEER* from, CUDA_MEMCPY3D& to) {
  return with_context([&](Context&) -> CUresult {
    if (!from) return CUDA_ERROR_INVALID_VALUE;
    const auto bad = [](CUmemorytype type, CUcontext context) {
      return type != CU_MEMORYTYPE_HOST && type != CU_MEMORYTYPE_ARRAY && !find_context(context);
    };
    if (bad(from->srcMemoryType, from->srcContext) || bad(from->dstMemoryType, from->dstContext))
      return CUDA_ERROR_INVALID_CONTEXT;
    to.srcXInBytes = from->srcXInBytes;
    to.srcY = from->srcY;
    to.srcZ = from->srcZ;
    to.srcLOD = from->srcLOD;
    to.srcMemoryType = from->srcMemoryType;
    to.srcHost = from->srcHost;
    to.srcDevice = from->srcDevice;
    to.srcArray = from->srcArray;
    to.srcPitch = from->srcPitch;
    to.srcHeight = from->srcHeight;
    to.dstXInBytes = from->dstXInBytes;
    to.dstY = from->dstY;
    to.dstZ = from->dstZ;
    to.dstLOD = from->dstLOD;
    to.dstMemoryType = from->dstMemoryType;
    to.dstHost = from->dstHost;
    to.dstDevice = from->dstDevice;
    to.dstArray = from->dstArray;
    to.dstPitch = from->dstPitch;
    to.dstHeight = from->dstHeight;
    to.WidthInBytes = from->WidthInBytes;
    to.Height = from->Height;
    to.Depth = from->Depth;
    return CUDA_SUCCESS;
  });
}

}  // namespace
}  // namespace vgpu::shim

using namespace vgpu::shim;

CUresult cuMemcpyPeer(CUdeviceptr destination, CUcontext to, CUdeviceptr source, CUcontext from, size_t bytes) {
  return copy_peer(destination, to, source, from, bytes, nullptr, When::done);
}

CUresult cuMemcpyPeerAsync(CUdeviceptr destination, CUcontext to, CUdeviceptr source, CUcontext from, size_t bytes,
                           CUstream stream) {
  return copy_peer(destination, to, source, from, bytes, stream, When::ordered);
}

CUresult cuMemcpy3DPeer(const CUDA_MEMCPY3D_PEER* copy) {
  CUDA_MEMCPY3D plain{};
  const CUresult result = without_contexts(copy, plain);
  return result == CUDA_SUCCESS ? cuMemcpy3D(&plain) : result;
}

CUresult cuMemcpy3DPeerAsync(const CUDA_MEMCPY3D_PEER* copy, CUstream stream) {
  CUDA_MEMCPY3D plain{};
  const CUresult result = without_contexts(copy, plain);
  return result == CUDA_SUCCESS ? cuMemcpy3DAsync(&plain, stream) : result;
}
