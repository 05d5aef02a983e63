#include <sys/mman.h>

#include "softgpu/capture.hpp"
#include "softgpu/guard.hpp"

using namespace vgpu::softgpu;

namespace {

constexpr unsigned kAllocFlags = CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP | CU_MEMHOSTALLOC_WRITECOMBINED;
constexpr unsigned kRegisterFlags = CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP |
                                    CU_MEMHOSTREGISTER_IOMEMORY | CU_MEMHOSTREGISTER_READ_ONLY;
constexpr std::size_t kPage = 4096;

CUresult allocate(Context& context, void** pointer, std::size_t bytes, unsigned flags) {
  if (const CUresult error = unsafe_in_capture(); error != CUDA_SUCCESS) return error;
  if (pointer == nullptr || bytes == 0 || (flags & ~kAllocFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
  if (bytes > SIZE_MAX - kPage) return CUDA_ERROR_OUT_OF_MEMORY;
  const std::size_t mapped = (bytes + kPage - 1) / kPage * kPage;
  void* memory = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return CUDA_ERROR_OUT_OF_MEMORY;
  Allocation allocation;
  allocation.address = reinterpret_cast<std::uint64_t>(memory);
  allocation.bytes = bytes;
  allocation.reserved = mapped;
  allocation.kind = MemoryKind::host;
  allocation.flags = flags;
  allocation.context = &context;
  if (!driver().memory.enter(std::move(allocation))) {
    munmap(memory, mapped);
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  *pointer = memory;
  return CUDA_SUCCESS;
}

/// Host memory that is page-locked and holds the address.
std::optional<Allocation> find_host(const void* pointer) {
  auto allocation = driver().memory.find(reinterpret_cast<std::uint64_t>(pointer));
  if (allocation && allocation->on_device()) return std::nullopt;
  return allocation;
}

}  // namespace

CUresult CUDAAPI cuMemAllocHost(void** pointer, size_t bytes) {
  return with_context([&](Context& context) { return allocate(context, pointer, bytes, CU_MEMHOSTALLOC_DEVICEMAP); });
}

CUresult CUDAAPI cuMemHostAlloc(void** pointer, size_t bytes, unsigned int flags) {
  return with_context([&](Context& context) { return allocate(context, pointer, bytes, flags); });
}

CUresult CUDAAPI cuMemFreeHost(void* pointer) {
  return with_context([&](Context& context) {
    if (const CUresult error = unsafe_in_capture(); error != CUDA_SUCCESS) return error;
    const auto found = find_host(pointer);
    if (!found || found->kind != MemoryKind::host || found->address != reinterpret_cast<std::uint64_t>(pointer)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    context.synchronize();
    Memory& memory = driver().memory;
    const auto allocation = memory.take(found->address, [&](const Allocation& it) { return it.id == found->id; });
    if (!allocation) return CUDA_ERROR_INVALID_VALUE;
    memory.dispose(*allocation);
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuMemHostRegister(void* pointer, size_t bytes, unsigned int flags) {
  return with_context([&](Context& context) {
    if (const CUresult error = unsafe_in_capture(); error != CUDA_SUCCESS) return error;
    if (pointer == nullptr || bytes == 0 || (flags & ~kRegisterFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
    // There is no device memory behind a bus, and reading only can't be promised to kernels.
    if ((flags & (CU_MEMHOSTREGISTER_IOMEMORY | CU_MEMHOSTREGISTER_READ_ONLY)) != 0) return CUDA_ERROR_NOT_SUPPORTED;
    const auto address = reinterpret_cast<std::uint64_t>(pointer);
    if (address + bytes < address) return CUDA_ERROR_INVALID_VALUE;
    if (AddressMap::touches_device(address, bytes)) return CUDA_ERROR_INVALID_VALUE;
    Memory& memory = driver().memory;
    if (memory.overlaps(address, bytes)) return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    Allocation allocation;
    allocation.address = address;
    allocation.bytes = bytes;
    allocation.reserved = bytes;
    allocation.kind = MemoryKind::registered;
    allocation.flags = flags;
    allocation.context = &context;
    return memory.enter(std::move(allocation)) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
  });
}

CUresult CUDAAPI cuMemHostUnregister(void* pointer) {
  return with_context([&](Context& context) {
    if (const CUresult error = unsafe_in_capture(); error != CUDA_SUCCESS) return error;
    if (pointer == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const auto found = find_host(pointer);
    if (!found || found->kind != MemoryKind::registered) return CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
    if (found->address != reinterpret_cast<std::uint64_t>(pointer)) return CUDA_ERROR_INVALID_VALUE;
    context.synchronize();
    const auto taken = driver().memory.take(found->address, [&](const Allocation& it) { return it.id == found->id; });
    return taken ? CUDA_SUCCESS : CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
  });
}

CUresult CUDAAPI cuMemHostGetDevicePointer(CUdeviceptr* device, void* pointer, unsigned int flags) {
  return with_context([&](Context&) {
    if (device == nullptr || pointer == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    if (!find_host(pointer)) return CUDA_ERROR_INVALID_VALUE;
    *device = reinterpret_cast<CUdeviceptr>(pointer);  // one address space
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuMemHostGetFlags(unsigned int* flags, void* pointer) {
  return with_context([&](Context&) {
    if (flags == nullptr || pointer == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const auto allocation = find_host(pointer);
    if (!allocation || allocation->kind != MemoryKind::host) return CUDA_ERROR_INVALID_VALUE;
    // With unified addressing all page-locked memory is mapped.
    *flags = allocation->flags | CU_MEMHOSTALLOC_DEVICEMAP;
    return CUDA_SUCCESS;
  });
}
