#include "softgpu/memory_operations.hpp"

#include <time.h>

#include <cstdint>

#include "softgpu/driver.hpp"
#include "softgpu/log.hpp"

namespace vgpu::softgpu {
namespace {

constexpr unsigned kWaitFlags = CU_STREAM_WAIT_VALUE_GEQ | CU_STREAM_WAIT_VALUE_EQ | CU_STREAM_WAIT_VALUE_AND |
                                CU_STREAM_WAIT_VALUE_NOR | CU_STREAM_WAIT_VALUE_FLUSH;

unsigned bytes_of(CUstreamBatchMemOpType type) noexcept {
  return type == CU_STREAM_MEM_OP_WAIT_VALUE_64 || type == CU_STREAM_MEM_OP_WRITE_VALUE_64 ? 8 : 4;
}

bool good_address(CUdeviceptr address, unsigned bytes) noexcept {
  return address != 0 && address % bytes == 0 && driver().memory.map().contains(address, bytes);
}

CUresult check(const CUstreamBatchMemOpParams& it) {
  switch (it.operation) {
    case CU_STREAM_MEM_OP_WAIT_VALUE_32:
    case CU_STREAM_MEM_OP_WAIT_VALUE_64:
      if ((it.waitValue.flags & ~kWaitFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
      // No remote writes are outstanding on this device: the attribute says that it can't flush them.
      if ((it.waitValue.flags & CU_STREAM_WAIT_VALUE_FLUSH) != 0) return CUDA_ERROR_NOT_SUPPORTED;
      return good_address(it.waitValue.address, bytes_of(it.operation)) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    case CU_STREAM_MEM_OP_WRITE_VALUE_32:
    case CU_STREAM_MEM_OP_WRITE_VALUE_64:
      if ((it.writeValue.flags & ~static_cast<unsigned>(CU_STREAM_WRITE_VALUE_NO_MEMORY_BARRIER)) != 0) {
        return CUDA_ERROR_INVALID_VALUE;
      }
      return good_address(it.writeValue.address, bytes_of(it.operation)) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    case CU_STREAM_MEM_OP_BARRIER:
      return it.memoryBarrier.flags <= CU_STREAM_MEMORY_BARRIER_TYPE_GPU ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    case CU_STREAM_MEM_OP_FLUSH_REMOTE_WRITES:
      return CUDA_ERROR_NOT_SUPPORTED;
  }
  return CUDA_ERROR_INVALID_VALUE;
}

/// The comparisons of CUstreamWaitValue_flags; "greater or equal" is by signed difference, so that counters may wrap.
template <class Word, class Signed>
bool satisfied(Word memory, Word value, unsigned flags) noexcept {
  switch (flags & 3u) {
    case CU_STREAM_WAIT_VALUE_EQ:
      return memory == value;
    case CU_STREAM_WAIT_VALUE_AND:
      return (memory & value) != 0;
    case CU_STREAM_WAIT_VALUE_NOR:
      return static_cast<Word>(~(memory | value)) != 0;
    default:
      return static_cast<Signed>(memory - value) >= 0;
  }
}

bool satisfied(const CUstreamBatchMemOpParams& it) noexcept {
  if (it.operation == CU_STREAM_MEM_OP_WAIT_VALUE_64) {
    const auto* word = reinterpret_cast<const std::uint64_t*>(it.waitValue.address);
    return satisfied<std::uint64_t, std::int64_t>(__atomic_load_n(word, __ATOMIC_SEQ_CST), it.waitValue.value64,
                                                  it.waitValue.flags);
  }
  const auto* word = reinterpret_cast<const std::uint32_t*>(it.waitValue.address);
  return satisfied<std::uint32_t, std::int32_t>(__atomic_load_n(word, __ATOMIC_SEQ_CST), it.waitValue.value,
                                                it.waitValue.flags);
}

/// False if the memory is gone by now: that is the sticky error.
bool reachable(CUdeviceptr address, unsigned bytes) noexcept {
  if (driver().memory.map().contains(address, bytes)) return true;
  log(LogLevel::error, "memory operation fault error=CUDA_ERROR_ILLEGAL_ADDRESS address={:#x} bytes={}", address,
      bytes);
  driver().set_fault(CUDA_ERROR_ILLEGAL_ADDRESS);
  return false;
}

/// Whoever writes the word doesn't tell, so it is looked at again and again, with pauses that grow to 100 us.
void wait_for(const CUstreamBatchMemOpParams& it) noexcept {
  long pause_ns = 1000;
  constexpr long kLongestPause = 100'000;
  while (driver().fault() == CUDA_SUCCESS && reachable(it.waitValue.address, bytes_of(it.operation)) &&
         !satisfied(it)) {
    const timespec pause{0, pause_ns};
    nanosleep(&pause, nullptr);
    pause_ns = pause_ns < kLongestPause ? pause_ns * 2 : kLongestPause;
  }
}

}  // namespace

CUresult MemoryOperations::prepare(const CUstreamBatchMemOpParams* operations, unsigned count,
                                   MemoryOperations& prepared) {
  constexpr unsigned kMost = 256;
  if (operations == nullptr || count == 0 || count > kMost) return CUDA_ERROR_INVALID_VALUE;
  for (unsigned i = 0; i < count; ++i) {
    if (const CUresult error = check(operations[i]); error != CUDA_SUCCESS) return error;
  }
  prepared.operations_.assign(operations, operations + count);
  return CUDA_SUCCESS;
}

void MemoryOperations::operator()() const noexcept {
  for (const CUstreamBatchMemOpParams& it : operations_) {
    if (driver().fault() != CUDA_SUCCESS) return;
    switch (it.operation) {
      case CU_STREAM_MEM_OP_WAIT_VALUE_32:
      case CU_STREAM_MEM_OP_WAIT_VALUE_64:
        wait_for(it);
        break;
      case CU_STREAM_MEM_OP_WRITE_VALUE_32:
        if (!reachable(it.writeValue.address, 4)) return;
        __atomic_store_n(reinterpret_cast<std::uint32_t*>(it.writeValue.address), it.writeValue.value,
                         __ATOMIC_SEQ_CST);
        break;
      case CU_STREAM_MEM_OP_WRITE_VALUE_64:
        if (!reachable(it.writeValue.address, 8)) return;
        __atomic_store_n(reinterpret_cast<std::uint64_t*>(it.writeValue.address), it.writeValue.value64,
                         __ATOMIC_SEQ_CST);
        break;
      default:  // a barrier: the work of a stream is in order and visible anyway
        break;
    }
  }
}

}  // namespace vgpu::softgpu
