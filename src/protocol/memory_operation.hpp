#pragma once
#include <cuda.h>

#include "protocol/payload.hpp"

namespace vgpu::protocol {

/// One of cuStreamBatchMemOp's operations as it travels; the guest's library and the executor convert both ways. False:
/// no operation that CUDA 13.0 has. No more is read or written than the operation's own fields. Any thread.
inline bool convert(const CUstreamBatchMemOpParams& from, MemoryOperation& to) noexcept {
  const auto operation = static_cast<u32>(from.operation);
  switch (from.operation) {
    case CU_STREAM_MEM_OP_WAIT_VALUE_32:
      to = {operation, from.waitValue.flags, Pointer{from.waitValue.address}, from.waitValue.value};
      return true;
    case CU_STREAM_MEM_OP_WAIT_VALUE_64:
      to = {operation, from.waitValue.flags, Pointer{from.waitValue.address}, from.waitValue.value64};
      return true;
    case CU_STREAM_MEM_OP_WRITE_VALUE_32:
      to = {operation, from.writeValue.flags, Pointer{from.writeValue.address}, from.writeValue.value};
      return true;
    case CU_STREAM_MEM_OP_WRITE_VALUE_64:
      to = {operation, from.writeValue.flags, Pointer{from.writeValue.address}, from.writeValue.value64};
      return true;
    case CU_STREAM_MEM_OP_BARRIER:
      to = {operation, from.memoryBarrier.flags, Pointer{0}, 0};
      return true;
    case CU_STREAM_MEM_OP_FLUSH_REMOTE_WRITES:
      to = {operation, from.flushRemoteWrites.flags, Pointer{0}, 0};
      return true;
    default:
      return false;
  }
}

inline bool convert(const MemoryOperation& from, CUstreamBatchMemOpParams& to) noexcept {
  const auto address = static_cast<CUdeviceptr>(from.address);
  to = {};
  switch (from.operation) {
    case CU_STREAM_MEM_OP_WAIT_VALUE_32:
    case CU_STREAM_MEM_OP_WAIT_VALUE_64:
      to.waitValue.address = address;
      to.waitValue.value64 = from.value;
      to.waitValue.flags = from.flags;
      break;
    case CU_STREAM_MEM_OP_WRITE_VALUE_32:
    case CU_STREAM_MEM_OP_WRITE_VALUE_64:
      to.writeValue.address = address;
      to.writeValue.value64 = from.value;
      to.writeValue.flags = from.flags;
      break;
    case CU_STREAM_MEM_OP_BARRIER:
      to.memoryBarrier.flags = from.flags;
      break;
    case CU_STREAM_MEM_OP_FLUSH_REMOTE_WRITES:
      to.flushRemoteWrites.flags = from.flags;
      break;
    default:
      return false;
  }
  to.operation = static_cast<CUstreamBatchMemOpType>(from.operation);
  return true;
}

}  // namespace vgpu::protocol
