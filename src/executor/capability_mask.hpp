#pragma once
#include <algorithm>
#include <array>

#include "executor/cuda_api.hpp"
#include "protocol/types.hpp"

namespace vgpu::executor {

/// Device attributes that promise what is not carried: programs look at them and choose another way. All read as 0.
inline constexpr std::array kNotCarried{
    // Host memory that the device may touch without being told.
    CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS, CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS_USES_HOST_PAGE_TABLES,
    CU_DEVICE_ATTRIBUTE_DIRECT_MANAGED_MEM_ACCESS_FROM_HOST,
    // Registration of memory that the program has already.
    CU_DEVICE_ATTRIBUTE_HOST_REGISTER_SUPPORTED, CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM,
    CU_DEVICE_ATTRIBUTE_READ_ONLY_HOST_REGISTER_SUPPORTED,
    // The first form of cuStreamWaitValue and its like, and writes of other devices.
    CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_MEM_OPS_V1, CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS_V1,
    CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_WAIT_VALUE_NOR_V1, CU_DEVICE_ATTRIBUTE_CAN_FLUSH_REMOTE_WRITES,
    // Functions that host and device call by one pointer.
    CU_DEVICE_ATTRIBUTE_UNIFIED_FUNCTION_POINTERS,
    // One launch on several devices.
    CU_DEVICE_ATTRIBUTE_COOPERATIVE_MULTI_DEVICE_LAUNCH,
    // Handles that virtual memory and memory pools export.
    CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED,
    CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_WIN32_HANDLE_SUPPORTED, CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_WIN32_KMT_HANDLE_SUPPORTED,
    CU_DEVICE_ATTRIBUTE_GENERIC_COMPRESSION_SUPPORTED, CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WITH_CUDA_VMM_SUPPORTED,
    CU_DEVICE_ATTRIBUTE_MEMPOOL_SUPPORTED_HANDLE_TYPES, CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_FABRIC_SUPPORTED,
    // Memory of the host's NUMA nodes.
    static_cast<CUdevice_attribute>(
        141),  // HOST_NUMA_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED (names since CUDA 12.9, 13.0)
    static_cast<CUdevice_attribute>(142),  // HOST_NUMA_MEMORY_POOLS_SUPPORTED
    static_cast<CUdevice_attribute>(143),  // HOST_NUMA_MULTINODE_IPC_SUPPORTED
    static_cast<CUdevice_attribute>(144),  // HOST_MEMORY_POOLS_SUPPORTED
    static_cast<CUdevice_attribute>(145),  // HOST_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED
    static_cast<CUdevice_attribute>(146),  // HOST_ALLOC_DMA_BUF_SUPPORTED
    // Arrays beyond the plain ones.
    CU_DEVICE_ATTRIBUTE_SPARSE_CUDA_ARRAY_SUPPORTED, CU_DEVICE_ATTRIBUTE_DEFERRED_MAPPING_CUDA_ARRAY_SUPPORTED,
    // Other devices and other processes.
    CU_DEVICE_ATTRIBUTE_TIMELINE_SEMAPHORE_INTEROP_SUPPORTED, CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_SUPPORTED,
    CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_FLUSH_WRITES_OPTIONS, CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WRITES_ORDERING,
    CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED, CU_DEVICE_ATTRIBUTE_IPC_EVENT_SUPPORTED,
    CU_DEVICE_ATTRIBUTE_MULTICAST_SUPPORTED,
    static_cast<CUdevice_attribute>(135),  // D3D12_CIG_SUPPORTED (name since CUDA 12.5)
    static_cast<CUdevice_attribute>(138),  // VULKAN_CIG_SUPPORTED (name since CUDA 12.9)
    // Decompression engines.
    static_cast<CUdevice_attribute>(136),  // MEM_DECOMPRESS_ALGORITHM_MASK (name since CUDA 12.8)
    static_cast<CUdevice_attribute>(137),  // MEM_DECOMPRESS_MAXIMUM_LENGTH
};

/// The value of a CUdevice_attribute that a guest sees where the driver says `value`.
constexpr protocol::i32 carried_capability(protocol::u32 attribute, protocol::i32 value) noexcept {
  for (CUdevice_attribute missing : kNotCarried)
    if (static_cast<protocol::u32>(missing) == attribute) return 0;
  return value;
}

}  // namespace vgpu::executor
