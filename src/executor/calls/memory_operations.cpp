// Waits for values in memory and writes of them, in stream order.
#include <cstring>
#include <vector>

#include "executor/dispatch.hpp"
#include "protocol/memory_operation.hpp"

namespace vgpu::executor {

using namespace protocol;

VGPU_HANDLER(cuStreamBatchMemOp) {
  if (request.count == 0 || request.count > kMaxMemoryOperations ||
      in.tail.size() != request.count * sizeof(MemoryOperation))
    return in.violate(VGPU_END_BAD_REQUEST, "count of memory operations");
  CUstream stream = nullptr;
  if (!in.stream(request.stream, stream)) return CUDA_ERROR_INVALID_HANDLE;
  // One is the usual case, and needs no memory.
  CUstreamBatchMemOpParams one{};
  std::vector<CUstreamBatchMemOpParams> many(request.count > 1 ? request.count : 0);
  CUstreamBatchMemOpParams* const operations = many.empty() ? &one : many.data();
  for (u32 i = 0; i < request.count; ++i) {
    MemoryOperation operation;
    std::memcpy(&operation, in.tail.data() + i * sizeof operation, sizeof operation);
    if (!convert(operation, operations[i])) return CUDA_ERROR_INVALID_VALUE;
  }
  in.session.waits_on_memory.store(true, std::memory_order_relaxed);
  return in.cuda.cuStreamBatchMemOp_v2(stream, request.count, operations, 0);
}

}  // namespace vgpu::executor
