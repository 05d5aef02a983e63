#include <cstring>

#include "softgpu/guard.hpp"

using namespace vgpu::softgpu;

namespace {

template <class T>
CUresult give(void* data, T value) noexcept {
  std::memcpy(data, &value, sizeof value);
  return CUDA_SUCCESS;
}

/// One attribute of a known allocation. Types as the CUDA driver API documents them for each attribute.
CUresult get(void* data, CUpointer_attribute attribute, CUdeviceptr pointer, const Allocation& allocation) {
  const bool host = !allocation.on_device();
  switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT:
      return give<CUcontext>(data, allocation.context != nullptr ? allocation.context->handle : nullptr);
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
      return give<unsigned>(data, host ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE);
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
      return give<CUdeviceptr>(data, pointer);
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
      if (!host && allocation.managed == nullptr) return CUDA_ERROR_INVALID_VALUE;
      return give<std::uint64_t>(data, pointer);
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
    case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
      return give<std::uint8_t>(data, 0);
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
      return give<std::uint8_t>(data, allocation.managed != nullptr ? 1 : 0);
    case CU_POINTER_ATTRIBUTE_MAPPED:
      return give<std::uint8_t>(data, 1);
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
      return give<unsigned long long>(data, allocation.id);
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
      return give<int>(data, allocation.device->ordinal);
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
    case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
      return give<std::uint64_t>(data, allocation.address);
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
    case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
      return give<std::size_t>(data, allocation.bytes);
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
      return give<std::uint64_t>(data, 0);
    case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
      return give<int>(data, CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE);
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
      return give<CUmemoryPool>(data, allocation.pool != nullptr ? allocation.pool->handle : nullptr);
    case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
      return give<unsigned long long>(data, allocation.id);
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

/// What cuPointerGetAttributes writes for memory that CUDA doesn't know (private-table measurements of a real driver:
/// types and flags 0, ordinal -1, both pointers as given, the rest untouched).
void get_unknown(void* data, CUpointer_attribute attribute, CUdeviceptr pointer) {
  switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT:
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
      give<std::uint64_t>(data, 0);
      break;
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
    case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
      give<unsigned>(data, 0);
      break;
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
      give<std::uint64_t>(data, pointer);
      break;
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
    case CU_POINTER_ATTRIBUTE_MAPPED:
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
    case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
      give<std::uint8_t>(data, 0);
      break;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
      give<int>(data, -1);
      break;
    default:
      break;
  }
}

}  // namespace

CUresult CUDAAPI cuPointerGetAttribute(void* data, CUpointer_attribute attribute, CUdeviceptr pointer) {
  return with_healthy_driver([&](Driver& self) {
    if (data == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const auto allocation = self.memory.find(pointer);
    if (!allocation) return CUDA_ERROR_INVALID_VALUE;
    return get(data, attribute, pointer, *allocation);
  });
}

CUresult CUDAAPI cuPointerGetAttributes(unsigned int count, CUpointer_attribute* attributes, void** data,
                                        CUdeviceptr pointer) {
  return with_healthy_driver([&](Driver& self) {
    if (count == 0 || attributes == nullptr || data == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const auto allocation = self.memory.find(pointer);
    for (unsigned i = 0; i < count; ++i) {
      if (data[i] == nullptr || attributes[i] < CU_POINTER_ATTRIBUTE_CONTEXT ||
          attributes[i] > CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID || attributes[i] == CU_POINTER_ATTRIBUTE_P2P_TOKENS) {
        return CUDA_ERROR_INVALID_VALUE;
      }
      if (!allocation) {
        get_unknown(data[i], attributes[i], pointer);
      } else if (get(data[i], attributes[i], pointer, *allocation) != CUDA_SUCCESS) {
        give<std::uint64_t>(data[i], 0);  // an attribute that this memory doesn't have is null here, not an error
      }
    }
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuPointerSetAttribute(const void* value, CUpointer_attribute attribute, CUdeviceptr pointer) {
  return with_healthy_driver([&](Driver& self) {
    if (value == nullptr || attribute != CU_POINTER_ATTRIBUTE_SYNC_MEMOPS) return CUDA_ERROR_INVALID_VALUE;
    const auto allocation = self.memory.find(pointer);
    if (!allocation || !allocation->on_device()) return CUDA_ERROR_INVALID_VALUE;
    // Synchronous memory operations are a matter of direct access by other devices; turning them off is the default.
    return *static_cast<const unsigned*>(value) == 0 ? CUDA_SUCCESS : CUDA_ERROR_NOT_SUPPORTED;
  });
}
