#include "softgpu/copy_side.hpp"
#include "softgpu/guard.hpp"

/// Copies in two and three dimensions, of linear memory and of arrays.
using namespace vgpu::softgpu;

namespace {

constexpr CUstream kLegacy = nullptr;
const CUstream kPerThread = CU_STREAM_PER_THREAD;

CUresult run(CUstream handle, const CopySide& to, const CopySide& from, const Extent& extent, bool asynchronous) {
  return with_stream(handle, [&](Context&, Stream& stream) {
    if (extent.width == 0 || extent.height == 0 || extent.depth == 0) return CUDA_SUCCESS;
    Side destination;
    Side source;
    if (const CUresult error = make_side(to, extent, destination); error != CUDA_SUCCESS) return error;
    if (const CUresult error = make_side(from, extent, source); error != CUDA_SUCCESS) return error;
    return copy(stream, destination, source, extent, asynchronous);
  });
}

CUresult copy_2d(const CUDA_MEMCPY2D* plan, CUstream stream, bool asynchronous) {
  if (plan == nullptr) return with_context([](Context&) { return CUDA_ERROR_INVALID_VALUE; });
  const CUDA_MEMCPY2D p = *plan;
  return run(stream, {p.dstMemoryType, p.dstHost, p.dstDevice, p.dstXInBytes, p.dstY, 0, p.dstPitch, 0, p.dstArray},
             {p.srcMemoryType, p.srcHost, p.srcDevice, p.srcXInBytes, p.srcY, 0, p.srcPitch, 0, p.srcArray},
             {p.WidthInBytes, p.Height, 1}, asynchronous);
}

template <class Parameters>
CUresult copy_3d(const Parameters* plan, CUstream stream, bool asynchronous) {
  if (plan == nullptr) return with_context([](Context&) { return CUDA_ERROR_INVALID_VALUE; });
  const Parameters p = *plan;
  if (p.srcLOD != 0 || p.dstLOD != 0) return with_context([](Context&) { return CUDA_ERROR_INVALID_VALUE; });
  if constexpr (std::is_same_v<Parameters, CUDA_MEMCPY3D_PEER>) {
    const CUresult error = with_context([&](Context&) {
      const auto good = [](CUmemorytype type, CUcontext context) {
        return type == CU_MEMORYTYPE_HOST || driver().contexts.find(context) != nullptr;
      };
      return good(p.dstMemoryType, p.dstContext) && good(p.srcMemoryType, p.srcContext) ? CUDA_SUCCESS
                                                                                        : CUDA_ERROR_INVALID_CONTEXT;
    });
    if (error != CUDA_SUCCESS) return error;
  }
  return run(stream, destination_of(p), source_of(p), {p.WidthInBytes, p.Height, p.Depth}, asynchronous);
}

}  // namespace

#undef cuMemcpy3DPeer
#undef cuMemcpy3DPeerAsync

VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpy2D_v2(const CUDA_MEMCPY2D* plan) { return copy_2d(plan, kLegacy, false); }
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpy2D_v2_ptds(const CUDA_MEMCPY2D* plan) {
  return copy_2d(plan, kPerThread, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpy2DUnaligned_v2(const CUDA_MEMCPY2D* plan) {
  return copy_2d(plan, kLegacy, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpy2DUnaligned_v2_ptds(const CUDA_MEMCPY2D* plan) {
  return copy_2d(plan, kPerThread, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D* plan, CUstream stream) {
  return copy_2d(plan, stream, true);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpy2DAsync_v2_ptsz(const CUDA_MEMCPY2D* plan, CUstream stream) {
  return copy_2d(plan, per_thread(stream), true);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpy3D_v2(const CUDA_MEMCPY3D* plan) { return copy_3d(plan, kLegacy, false); }
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpy3D_v2_ptds(const CUDA_MEMCPY3D* plan) {
  return copy_3d(plan, kPerThread, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpy3DAsync_v2(const CUDA_MEMCPY3D* plan, CUstream stream) {
  return copy_3d(plan, stream, true);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpy3DAsync_v2_ptsz(const CUDA_MEMCPY3D* plan, CUstream stream) {
  return copy_3d(plan, per_thread(stream), true);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpy3DPeer(const CUDA_MEMCPY3D_PEER* plan) {
  return copy_3d(plan, kLegacy, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpy3DPeer_ptds(const CUDA_MEMCPY3D_PEER* plan) {
  return copy_3d(plan, kPerThread, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpy3DPeerAsync(const CUDA_MEMCPY3D_PEER* plan, CUstream stream) {
  return copy_3d(plan, stream, true);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpy3DPeerAsync_ptsz(const CUDA_MEMCPY3D_PEER* plan, CUstream stream) {
  return copy_3d(plan, per_thread(stream), true);
}
