#include "softgpu/array.hpp"
#include "softgpu/copy.hpp"
#include "softgpu/guard.hpp"

/// Copies between rows of arrays and linear memory. Offsets and counts are bytes; an array of more dimensions is copied
/// with cuMemcpy2D and cuMemcpy3D.
using namespace vgpu::softgpu;

namespace {

constexpr CUstream kLegacy = nullptr;
const CUstream kPerThread = CU_STREAM_PER_THREAD;

struct End {
  CUarray array = nullptr;
  std::uint64_t address = 0;  ///< or the offset in the array
  Expect expect = Expect::any;
};

End in_array(CUarray array, std::size_t offset) { return {array, offset, Expect::device}; }
End on_device(CUdeviceptr pointer) { return {nullptr, pointer, Expect::device}; }
End on_host(const void* pointer) { return {nullptr, reinterpret_cast<std::uint64_t>(pointer), Expect::host}; }

CUresult side_of(const End& end, bool is_array, std::size_t bytes, Side& side, std::shared_ptr<Array>& keep) {
  if (!is_array) {
    side = {end.address, bytes, bytes, end.expect};
    return CUDA_SUCCESS;
  }
  keep = driver().arrays.find(end.array);
  if (keep == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (keep->image().height != 1 || keep->image().planes != 1) return CUDA_ERROR_INVALID_VALUE;
  return keep->side(end.address, 0, 0, {bytes, 1, 1}, side);
}

CUresult run(CUstream handle, const End& to, bool to_array, const End& from, bool from_array, std::size_t bytes,
             bool asynchronous) {
  return with_stream(handle, [&](Context&, Stream& stream) {
    Side destination;
    Side source;
    std::shared_ptr<Array> keep[2];
    if (const CUresult error = side_of(to, to_array, bytes, destination, keep[0]); error != CUDA_SUCCESS) return error;
    if (const CUresult error = side_of(from, from_array, bytes, source, keep[1]); error != CUDA_SUCCESS) return error;
    return copy(stream, destination, source, {bytes, 1, 1}, asynchronous);
  });
}

CUresult to_host(void* host, CUarray array, std::size_t offset, std::size_t bytes, CUstream stream, bool asynchronous) {
  return run(stream, on_host(host), false, in_array(array, offset), true, bytes, asynchronous);
}
CUresult from_host(CUarray array, std::size_t offset, const void* host, std::size_t bytes, CUstream stream,
                   bool asynchronous) {
  return run(stream, in_array(array, offset), true, on_host(host), false, bytes, asynchronous);
}

}  // namespace

VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyAtoH_v2(void* host, CUarray array, size_t offset, size_t bytes) {
  return to_host(host, array, offset, bytes, kLegacy, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyAtoH_v2_ptds(void* host, CUarray array, size_t offset, size_t bytes) {
  return to_host(host, array, offset, bytes, kPerThread, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyAtoHAsync_v2(void* host, CUarray array, size_t offset, size_t bytes,
                                                       CUstream stream) {
  return to_host(host, array, offset, bytes, stream, true);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyAtoHAsync_v2_ptsz(void* host, CUarray array, size_t offset, size_t bytes,
                                                            CUstream stream) {
  return to_host(host, array, offset, bytes, per_thread(stream), true);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyHtoA_v2(CUarray array, size_t offset, const void* host, size_t bytes) {
  return from_host(array, offset, host, bytes, kLegacy, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyHtoA_v2_ptds(CUarray array, size_t offset, const void* host, size_t bytes) {
  return from_host(array, offset, host, bytes, kPerThread, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyHtoAAsync_v2(CUarray array, size_t offset, const void* host, size_t bytes,
                                                       CUstream stream) {
  return from_host(array, offset, host, bytes, stream, true);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyHtoAAsync_v2_ptsz(CUarray array, size_t offset, const void* host,
                                                            size_t bytes, CUstream stream) {
  return from_host(array, offset, host, bytes, per_thread(stream), true);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyAtoD_v2(CUdeviceptr pointer, CUarray array, size_t offset, size_t bytes) {
  return run(kLegacy, on_device(pointer), false, in_array(array, offset), true, bytes, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyAtoD_v2_ptds(CUdeviceptr pointer, CUarray array, size_t offset,
                                                       size_t bytes) {
  return run(kPerThread, on_device(pointer), false, in_array(array, offset), true, bytes, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyDtoA_v2(CUarray array, size_t offset, CUdeviceptr pointer, size_t bytes) {
  return run(kLegacy, in_array(array, offset), true, on_device(pointer), false, bytes, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyDtoA_v2_ptds(CUarray array, size_t offset, CUdeviceptr pointer,
                                                       size_t bytes) {
  return run(kPerThread, in_array(array, offset), true, on_device(pointer), false, bytes, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyAtoA_v2(CUarray to, size_t to_offset, CUarray from, size_t from_offset,
                                                  size_t bytes) {
  return run(kLegacy, in_array(to, to_offset), true, in_array(from, from_offset), true, bytes, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemcpyAtoA_v2_ptds(CUarray to, size_t to_offset, CUarray from, size_t from_offset,
                                                       size_t bytes) {
  return run(kPerThread, in_array(to, to_offset), true, in_array(from, from_offset), true, bytes, false);
}
