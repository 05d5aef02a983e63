// cuStreamWaitValue, cuStreamWriteValue and cuStreamBatchMemOp: one record for each call, whatever its form.
#include <vector>

#include "protocol/memory_operation.hpp"
#include "shim/stream.hpp"

using namespace vgpu::shim;
using vgpu::protocol::MemoryOperation;

namespace {

CUresult submit(CUstream stream, const MemoryOperation* operations, u32 count) {
  return with_stream(stream, [&](Context& context, StreamHandle handle) {
    return post<call::cuStreamBatchMemOp>(context.index(), {handle, count, 0},
                                          bytes_of(operations, count * sizeof *operations));
  });
}

CUresult submit(CUstream stream, CUstreamBatchMemOpType type, CUdeviceptr address, u64 value, unsigned flags) {
  const MemoryOperation operation{static_cast<u32>(type), flags, Pointer{address}, value};
  return submit(stream, &operation, 1);
}

}  // namespace

CUresult cuStreamWaitValue32(CUstream stream, CUdeviceptr address, cuuint32_t value, unsigned int flags) {
  return submit(stream, CU_STREAM_MEM_OP_WAIT_VALUE_32, address, value, flags);
}

CUresult cuStreamWaitValue64(CUstream stream, CUdeviceptr address, cuuint64_t value, unsigned int flags) {
  return submit(stream, CU_STREAM_MEM_OP_WAIT_VALUE_64, address, value, flags);
}

CUresult cuStreamWriteValue32(CUstream stream, CUdeviceptr address, cuuint32_t value, unsigned int flags) {
  return submit(stream, CU_STREAM_MEM_OP_WRITE_VALUE_32, address, value, flags);
}

CUresult cuStreamWriteValue64(CUstream stream, CUdeviceptr address, cuuint64_t value, unsigned int flags) {
  return submit(stream, CU_STREAM_MEM_OP_WRITE_VALUE_64, address, value, flags);
}

CUresult cuStreamBatchMemOp(CUstream stream, unsigned int count, CUstreamBatchMemOpParams* operations,
                            unsigned int flags) {
  return guarded([&]() -> CUresult {
    if (!operations || count == 0 || count > vgpu::protocol::kMaxMemoryOperations || flags != 0)
      return CUDA_ERROR_INVALID_VALUE;
    std::vector<MemoryOperation> converted(count);
    for (unsigned i = 0; i < count; ++i)
      if (!vgpu::protocol::convert(operations[i], converted[i])) return CUDA_ERROR_INVALID_VALUE;
    return submit(stream, converted.data(), count);
  });
}
