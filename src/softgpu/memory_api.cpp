#include "softgpu/capture.hpp"
#include "softgpu/device_attributes.hpp"
#include "softgpu/graph_memory.hpp"
#include "softgpu/guard.hpp"

using namespace vgpu::softgpu;

namespace {

constexpr std::size_t kPitchAlignment = 512;

}  // namespace

std::uint64_t vgpu::softgpu::allocate_device_memory(Context& context, std::uint64_t bytes, MemoryKind kind) {
  Memory& memory = driver().memory;
  if (const std::uint64_t address = memory.allocate(context, bytes, kind); address != 0) return address;
  if (bytes > context.device().total_memory()) return 0;
  context.synchronize();
  for (const auto& pool : driver().pools.all()) pool->trim(0);
  return memory.allocate(context, bytes, kind);
}

CUresult CUDAAPI cuMemAlloc(CUdeviceptr* pointer, size_t bytes) {
  return with_context([&](Context& context) {
    if (pointer == nullptr || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult error = unsafe_in_capture(); error != CUDA_SUCCESS) return error;
    const std::uint64_t address = allocate_device_memory(context, bytes, MemoryKind::device);
    if (address == 0) return CUDA_ERROR_OUT_OF_MEMORY;
    *pointer = address;
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuMemAllocPitch(CUdeviceptr* pointer, size_t* pitch, size_t width, size_t height,
                                 unsigned int element) {
  return with_context([&](Context& context) {
    if (pointer == nullptr || pitch == nullptr || width == 0 || height == 0) return CUDA_ERROR_INVALID_VALUE;
    if (element != 4 && element != 8 && element != 16) return CUDA_ERROR_INVALID_VALUE;
    if (width > limits::kMaxPitch - kPitchAlignment) return CUDA_ERROR_INVALID_VALUE;
    const std::size_t row = (width + kPitchAlignment - 1) / kPitchAlignment * kPitchAlignment;
    if (height > AddressMap::kHeapBytes / row) return CUDA_ERROR_OUT_OF_MEMORY;
    if (const CUresult error = unsafe_in_capture(); error != CUDA_SUCCESS) return error;
    const std::uint64_t address = allocate_device_memory(context, row * height, MemoryKind::device);
    if (address == 0) return CUDA_ERROR_OUT_OF_MEMORY;
    *pointer = address;
    *pitch = row;
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuMemFree(CUdeviceptr pointer) {
  return with_context([&](Context& context) {
    if (pointer == 0) return CUDA_SUCCESS;
    if (const CUresult error = unsafe_in_capture(); error != CUDA_SUCCESS) return error;
    if (const auto of_graph = free_graph_memory(pointer); of_graph != nullptr) {
      context.synchronize();
      return CUDA_SUCCESS;
    }
    Memory& memory = driver().memory;
    const auto is_ours = [](const Allocation& allocation) {
      return allocation.kind == MemoryKind::device || allocation.kind == MemoryKind::async ||
             allocation.kind == MemoryKind::managed;
    };
    const auto found = memory.find(pointer);
    if (!found || found->address != pointer || !is_ours(*found) || found->freeing) return CUDA_ERROR_INVALID_VALUE;
    // Work that uses the memory may be on its way: a free waits for it, as on a GPU.
    context.synchronize();
    const auto allocation = memory.take(pointer, [&](const Allocation& it) { return it.id == found->id; });
    if (!allocation) return CUDA_ERROR_INVALID_VALUE;
    memory.dispose(*allocation);
    if (allocation->pool != nullptr) allocation->pool->trim_to_threshold();
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuMemGetInfo(size_t* available, size_t* total) {
  return with_context([&](Context& context) {
    if (available == nullptr || total == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *available = context.device().available_memory();
    *total = context.device().total_memory();
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuMemGetAddressRange(CUdeviceptr* base, size_t* bytes, CUdeviceptr pointer) {
  return with_context([&](Context&) {
    const auto allocation = driver().memory.find(pointer);
    if (!allocation || !allocation->on_device()) return CUDA_ERROR_NOT_FOUND;
    if (base != nullptr) *base = allocation->address;
    if (bytes != nullptr) *bytes = allocation->bytes;
    return CUDA_SUCCESS;
  });
}
