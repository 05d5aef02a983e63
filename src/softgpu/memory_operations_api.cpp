#include "softgpu/capture.hpp"
#include "softgpu/guard.hpp"

/// cuStreamWriteValue, cuStreamWaitValue and cuStreamBatchMemOp in their second form: the device's attributes say that
/// it has not the first one (CUDA 8 to 11.6).
using namespace vgpu::softgpu;

namespace {

CUresult submit(CUstream handle, const CUstreamBatchMemOpParams* operations, unsigned count, unsigned flags) {
  return with_stream(handle, [&](Context& context, Stream& stream) {
    if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
    MemoryOperations work;
    if (const CUresult error = MemoryOperations::prepare(operations, count, work); error != CUDA_SUCCESS) return error;
    const auto make = [&] { return share(MemoryOperationsNode{context.handle, 0, work}); };
    if (const auto result = captured(stream, make)) return *result;
    stream.submit([work = std::move(work)] { work(); });
    return CUDA_SUCCESS;
  });
}

CUresult write(CUstream stream, CUdeviceptr address, cuuint64_t value, unsigned flags, CUstreamBatchMemOpType type) {
  CUstreamBatchMemOpParams operation{};
  operation.writeValue.operation = type;
  operation.writeValue.address = address;
  operation.writeValue.value64 = value;
  operation.writeValue.flags = flags;
  return submit(stream, &operation, 1, 0);
}

CUresult wait(CUstream stream, CUdeviceptr address, cuuint64_t value, unsigned flags, CUstreamBatchMemOpType type) {
  CUstreamBatchMemOpParams operation{};
  operation.waitValue.operation = type;
  operation.waitValue.address = address;
  operation.waitValue.value64 = value;
  operation.waitValue.flags = flags;
  return submit(stream, &operation, 1, 0);
}

}  // namespace

#undef cuStreamWriteValue32
#undef cuStreamWaitValue32
#undef cuStreamWriteValue64
#undef cuStreamWaitValue64
#undef cuStreamBatchMemOp

VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamWriteValue32_v2(CUstream stream, CUdeviceptr address, cuuint32_t value,
                                                          unsigned int flags) {
  return write(stream, address, value, flags, CU_STREAM_MEM_OP_WRITE_VALUE_32);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamWriteValue32_v2_ptsz(CUstream stream, CUdeviceptr address, cuuint32_t value,
                                                               unsigned int flags) {
  return write(per_thread(stream), address, value, flags, CU_STREAM_MEM_OP_WRITE_VALUE_32);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamWriteValue64_v2(CUstream stream, CUdeviceptr address, cuuint64_t value,
                                                          unsigned int flags) {
  return write(stream, address, value, flags, CU_STREAM_MEM_OP_WRITE_VALUE_64);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamWriteValue64_v2_ptsz(CUstream stream, CUdeviceptr address, cuuint64_t value,
                                                               unsigned int flags) {
  return write(per_thread(stream), address, value, flags, CU_STREAM_MEM_OP_WRITE_VALUE_64);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamWaitValue32_v2(CUstream stream, CUdeviceptr address, cuuint32_t value,
                                                         unsigned int flags) {
  return wait(stream, address, value, flags, CU_STREAM_MEM_OP_WAIT_VALUE_32);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamWaitValue32_v2_ptsz(CUstream stream, CUdeviceptr address, cuuint32_t value,
                                                              unsigned int flags) {
  return wait(per_thread(stream), address, value, flags, CU_STREAM_MEM_OP_WAIT_VALUE_32);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamWaitValue64_v2(CUstream stream, CUdeviceptr address, cuuint64_t value,
                                                         unsigned int flags) {
  return wait(stream, address, value, flags, CU_STREAM_MEM_OP_WAIT_VALUE_64);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamWaitValue64_v2_ptsz(CUstream stream, CUdeviceptr address, cuuint64_t value,
                                                              unsigned int flags) {
  return wait(per_thread(stream), address, value, flags, CU_STREAM_MEM_OP_WAIT_VALUE_64);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamBatchMemOp_v2(CUstream stream, unsigned int count,
                                                        CUstreamBatchMemOpParams* operations, unsigned int flags) {
  return submit(stream, operations, count, flags);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamBatchMemOp_v2_ptsz(CUstream stream, unsigned int count,
                                                             CUstreamBatchMemOpParams* operations, unsigned int flags) {
  return submit(per_thread(stream), operations, count, flags);
}
