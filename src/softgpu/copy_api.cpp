#include "softgpu/copy.hpp"
#include "softgpu/guard.hpp"

/// The linear copies. Each exists for the legacy default stream and for the per-thread one (suffix _ptds for
/// synchronous and _ptsz for asynchronous calls), where a null stream means the calling thread's own.
using namespace vgpu::softgpu;

namespace {

std::uint64_t address_of(const void* pointer) noexcept { return reinterpret_cast<std::uint64_t>(pointer); }

CUresult linear(CUstream handle, std::uint64_t destination, Expect destination_expect, std::uint64_t source,
                Expect source_expect, std::size_t bytes, bool asynchronous) {
  return with_stream(handle, [&](Context&, Stream& stream) {
    return copy(stream, destination, destination_expect, source, source_expect, bytes, asynchronous);
  });
}

CUresult peer(CUstream handle, CUdeviceptr destination, CUcontext destination_context, CUdeviceptr source,
              CUcontext source_context, std::size_t bytes, bool asynchronous) {
  return with_stream(handle, [&](Context&, Stream& stream) {
    if (driver().contexts.find(destination_context) == nullptr || driver().contexts.find(source_context) == nullptr) {
      return CUDA_ERROR_INVALID_CONTEXT;
    }
    return copy(stream, destination, Expect::device, source, Expect::device, bytes, asynchronous);
  });
}

constexpr CUstream kLegacy = nullptr;
const CUstream kPerThread = CU_STREAM_PER_THREAD;

}  // namespace

#undef cuMemcpy
#undef cuMemcpyAsync
#undef cuMemcpyHtoD
#undef cuMemcpyHtoDAsync
#undef cuMemcpyDtoH
#undef cuMemcpyDtoHAsync
#undef cuMemcpyDtoD
#undef cuMemcpyDtoDAsync
#undef cuMemcpyPeer
#undef cuMemcpyPeerAsync

VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpy(CUdeviceptr destination, CUdeviceptr source, size_t bytes) {
  return linear(kLegacy, destination, Expect::any, source, Expect::any, bytes, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpy_ptds(CUdeviceptr destination, CUdeviceptr source, size_t bytes) {
  return linear(kPerThread, destination, Expect::any, source, Expect::any, bytes, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyAsync(CUdeviceptr destination, CUdeviceptr source, size_t bytes,
                                                CUstream stream) {
  return linear(stream, destination, Expect::any, source, Expect::any, bytes, true);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyAsync_ptsz(CUdeviceptr destination, CUdeviceptr source, size_t bytes,
                                                     CUstream stream) {
  return linear(per_thread(stream), destination, Expect::any, source, Expect::any, bytes, true);
}

VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyHtoD_v2(CUdeviceptr destination, const void* source, size_t bytes) {
  return linear(kLegacy, destination, Expect::device, address_of(source), Expect::host, bytes, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyHtoD_v2_ptds(CUdeviceptr destination, const void* source, size_t bytes) {
  return linear(kPerThread, destination, Expect::device, address_of(source), Expect::host, bytes, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyHtoDAsync_v2(CUdeviceptr destination, const void* source, size_t bytes,
                                                       CUstream stream) {
  return linear(stream, destination, Expect::device, address_of(source), Expect::host, bytes, true);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyHtoDAsync_v2_ptsz(CUdeviceptr destination, const void* source, size_t bytes,
                                                            CUstream stream) {
  return linear(per_thread(stream), destination, Expect::device, address_of(source), Expect::host, bytes, true);
}

VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyDtoH_v2(void* destination, CUdeviceptr source, size_t bytes) {
  return linear(kLegacy, address_of(destination), Expect::host, source, Expect::device, bytes, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyDtoH_v2_ptds(void* destination, CUdeviceptr source, size_t bytes) {
  return linear(kPerThread, address_of(destination), Expect::host, source, Expect::device, bytes, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyDtoHAsync_v2(void* destination, CUdeviceptr source, size_t bytes,
                                                       CUstream stream) {
  return linear(stream, address_of(destination), Expect::host, source, Expect::device, bytes, true);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyDtoHAsync_v2_ptsz(void* destination, CUdeviceptr source, size_t bytes,
                                                            CUstream stream) {
  return linear(per_thread(stream), address_of(destination), Expect::host, source, Expect::device, bytes, true);
}

VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyDtoD_v2(CUdeviceptr destination, CUdeviceptr source, size_t bytes) {
  return linear(kLegacy, destination, Expect::device, source, Expect::device, bytes, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyDtoD_v2_ptds(CUdeviceptr destination, CUdeviceptr source, size_t bytes) {
  return linear(kPerThread, destination, Expect::device, source, Expect::device, bytes, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyDtoDAsync_v2(CUdeviceptr destination, CUdeviceptr source, size_t bytes,
                                                       CUstream stream) {
  return linear(stream, destination, Expect::device, source, Expect::device, bytes, true);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyDtoDAsync_v2_ptsz(CUdeviceptr destination, CUdeviceptr source, size_t bytes,
                                                            CUstream stream) {
  return linear(per_thread(stream), destination, Expect::device, source, Expect::device, bytes, true);
}

VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyPeer(CUdeviceptr destination, CUcontext destination_context,
                                               CUdeviceptr source, CUcontext source_context, size_t bytes) {
  return peer(kLegacy, destination, destination_context, source, source_context, bytes, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyPeer_ptds(CUdeviceptr destination, CUcontext destination_context,
                                                    CUdeviceptr source, CUcontext source_context, size_t bytes) {
  return peer(kPerThread, destination, destination_context, source, source_context, bytes, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyPeerAsync(CUdeviceptr destination, CUcontext destination_context,
                                                    CUdeviceptr source, CUcontext source_context, size_t bytes,
                                                    CUstream stream) {
  return peer(stream, destination, destination_context, source, source_context, bytes, true);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyPeerAsync_ptsz(CUdeviceptr destination, CUcontext destination_context,
                                                         CUdeviceptr source, CUcontext source_context, size_t bytes,
                                                         CUstream stream) {
  return peer(per_thread(stream), destination, destination_context, source, source_context, bytes, true);
}
