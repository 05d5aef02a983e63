// Registration of host memory that the program has already: only the arena is memory of the host too.
#include "shim/refuse_as.hpp"
#include "shim/stream.hpp"

using namespace vgpu::shim;

CUresult cuMemHostRegister(void* pointer, size_t bytes, unsigned int flags) {
  return with_context([&](Context&) -> CUresult {
    constexpr unsigned kFlags = CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP |
                                CU_MEMHOSTREGISTER_IOMEMORY | CU_MEMHOSTREGISTER_READ_ONLY;
    if (!pointer || bytes == 0 || (flags & ~kFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
    const u64 address = reinterpret_cast<u64>(pointer);
    const u64 last = address + (bytes - 1);
    if (last < address) return CUDA_ERROR_INVALID_VALUE;
    State& s = state();
    if (s.host_memory.contains(pointer, 1) || s.host_memory.contains(reinterpret_cast<const void*>(last), 1))
      return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    if (s.allocations.find(address)) return CUDA_ERROR_INVALID_VALUE;
    return refuse_as("cuMemHostRegister_v2", "cuMemHostRegister of memory that is not CUDA's");
  });
}

CUresult cuMemHostUnregister(void* pointer) {
  return with_context(
      [&](Context&) -> CUresult { return pointer ? CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED : CUDA_ERROR_INVALID_VALUE; });
}
