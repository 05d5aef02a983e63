// What is known of a pointer, from the guest's map of allocations.
#include "shim/memory.hpp"
#include "shim/refuse_as.hpp"

using namespace vgpu::shim;

namespace {

/// Writes one attribute of a pointer that lies in `known`. NOT_SUPPORTED for those that name unforwarded features.
CUresult write_known(void* data, CUpointer_attribute attribute, u64 pointer, const Allocation& known) {
  const bool managed = known.kind == Allocation::Kind::managed;
  const bool on_device = known.kind != Allocation::Kind::host;
  const u64 offset = pointer - known.base;
  switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT:
      *static_cast<CUcontext*>(data) = reinterpret_cast<CUcontext>(known.pool ? 0 : known.context);
      return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
      *static_cast<unsigned*>(data) = on_device ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST;
      return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
      *static_cast<CUdeviceptr*>(data) = known.device_base + offset;
      return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
      if (on_device && !managed) return CUDA_ERROR_INVALID_VALUE;
      *static_cast<void**>(data) = reinterpret_cast<void*>(pointer);
      return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
    case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
      *static_cast<unsigned*>(data) = 0;
      return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
      *static_cast<unsigned*>(data) = managed ? 1 : 0;
      return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
    case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
      *static_cast<unsigned long long*>(data) = known.id;
      return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
      *static_cast<int*>(data) = known.device;
      return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
    case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
      *static_cast<CUdeviceptr*>(data) = known.device_base;
      return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
    case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
      *static_cast<size_t*>(data) = known.bytes;
      return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_MAPPED:
      *static_cast<unsigned*>(data) = 1;
      return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
      *static_cast<unsigned long long*>(data) = 0;
      return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
      *static_cast<unsigned*>(data) = CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE;
      return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
      *static_cast<CUmemoryPool*>(data) = reinterpret_cast<CUmemoryPool>(known.pool);
      return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_P2P_TOKENS:
      return refuse_as("cuPointerGetAttribute", "CU_POINTER_ATTRIBUTE_P2P_TOKENS");
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

/// The batch query of a pointer that CUDA doesn't know succeeds: zeros, ordinal -1,
/// both pointers as they came, and what describes a range is left alone.
void write_unknown(void* data, CUpointer_attribute attribute, u64 pointer) {
  switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT:
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
      *static_cast<void**>(data) = nullptr;
      break;
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
      *static_cast<u64*>(data) = pointer;
      break;
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
    case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
      *static_cast<unsigned long long*>(data) = 0;
      break;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
      *static_cast<int*>(data) = -1;
      break;
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
    case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
    case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
    case CU_POINTER_ATTRIBUTE_P2P_TOKENS:
      break;
    default:
      *static_cast<unsigned*>(data) = 0;
  }
}

bool exists(CUpointer_attribute attribute) noexcept {
  return attribute >= CU_POINTER_ATTRIBUTE_CONTEXT && attribute <= CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID;
}

}  // namespace

CUresult cuPointerGetAttribute(void* data, CUpointer_attribute attribute, CUdeviceptr pointer) {
  return guarded([&]() -> CUresult {
    if (!data || !exists(attribute)) return CUDA_ERROR_INVALID_VALUE;
    const auto known = state().allocations.find(pointer);
    return known ? write_known(data, attribute, pointer, *known) : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuPointerGetAttributes(unsigned int count, CUpointer_attribute* attributes, void** data, CUdeviceptr pointer) {
  return guarded([&]() -> CUresult {
    if (count == 0 || !attributes || !data) return CUDA_ERROR_INVALID_VALUE;
    const auto known = state().allocations.find(pointer);
    for (unsigned i = 0; i < count; ++i) {
      if (!data[i] || !exists(attributes[i])) return CUDA_ERROR_INVALID_VALUE;
      if (!known) {
        write_unknown(data[i], attributes[i], pointer);
      } else if (write_known(data[i], attributes[i], pointer, *known) != CUDA_SUCCESS) {
        // What does not exist for this kind of memory is null in a batch.
        if (attributes[i] != CU_POINTER_ATTRIBUTE_HOST_POINTER) return CUDA_ERROR_NOT_SUPPORTED;
        *static_cast<void**>(data[i]) = nullptr;
      }
    }
    return CUDA_SUCCESS;
  });
}
