#include "softgpu/guard.hpp"
#include "softgpu/log.hpp"
#include "softgpu/virtual_memory.hpp"

/// Virtual memory management: addresses, physical memory, and the mappings between them.
using namespace vgpu::softgpu;

namespace {

constexpr std::uint64_t kGranule = PhysicalMemory::kGranularity;

/// Counts of handles: given out and released by any thread.
std::mutex handles_mutex;

PhysicalHandleTag* tag(CUmemGenericAllocationHandle handle) noexcept {
  return reinterpret_cast<PhysicalHandleTag*>(handle);
}

bool whole_granules(std::uint64_t value) noexcept { return value != 0 && value % kGranule == 0; }

CUresult give_handle(std::shared_ptr<PhysicalMemory> memory, CUmemGenericAllocationHandle* handle) {
  auto made = std::make_shared<PhysicalHandle>();
  made->memory = std::move(memory);
  *handle = reinterpret_cast<CUmemGenericAllocationHandle>(driver().physical.insert(std::move(made)));
  return CUDA_SUCCESS;
}

CUresult check_properties(const CUmemAllocationProp& properties) {
  if (properties.type != CU_MEM_ALLOCATION_TYPE_PINNED) return CUDA_ERROR_INVALID_VALUE;
  if (properties.location.type != CU_MEM_LOCATION_TYPE_DEVICE) {
    log(LogLevel::error, "memory refused reason=\"only a device's memory can be created\" location={}",
        static_cast<int>(properties.location.type));
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  if ((properties.requestedHandleTypes & ~CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) != 0) {
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  return check_device(properties.location.id);
}

template <class Then>
CUresult with_memory(CUmemGenericAllocationHandle handle, Then&& then) {
  return with_healthy_driver([&](Driver& self) {
    const auto held = self.physical.find(tag(handle));
    if (held == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return static_cast<CUresult>(then(*held));
  });
}

CUresult refuse(const char* call, const char* what) {
  return with_healthy_driver([&](Driver&) {
    log(LogLevel::error, "{} refused reason=\"{} not supported\"", call, what);
    return CUDA_ERROR_NOT_SUPPORTED;
  });
}

}  // namespace

#undef cuMemMapArrayAsync

CUresult CUDAAPI cuMemAddressReserve(CUdeviceptr* pointer, size_t size, size_t alignment, CUdeviceptr address,
                                     unsigned long long flags) {
  return with_healthy_driver([&](Driver& self) {
    if (pointer == nullptr || flags != 0 || !whole_granules(size)) return CUDA_ERROR_INVALID_VALUE;
    if ((alignment & (alignment - 1)) != 0) return CUDA_ERROR_INVALID_VALUE;
    const std::uint64_t reserved = self.virtual_memory.reserve(size, alignment, address);
    if (reserved == 0) return CUDA_ERROR_OUT_OF_MEMORY;
    *pointer = reserved;
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuMemAddressFree(CUdeviceptr pointer, size_t size) {
  return with_healthy_driver([&](Driver& self) { return self.virtual_memory.free(pointer, size); });
}

CUresult CUDAAPI cuMemCreate(CUmemGenericAllocationHandle* handle, size_t size, const CUmemAllocationProp* properties,
                             unsigned long long flags) {
  return with_healthy_driver([&](Driver& self) {
    if (handle == nullptr || properties == nullptr || flags != 0 || !whole_granules(size)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (const CUresult error = check_properties(*properties); error != CUDA_SUCCESS) return error;
    Device& device = self.device(properties->location.id);
    std::shared_ptr<PhysicalMemory> memory;
    CUresult result = PhysicalMemory::create(device, size, *properties, memory);
    if (result == CUDA_ERROR_OUT_OF_MEMORY && size <= device.total_memory()) {
      for (const auto& pool : self.pools.all()) pool->trim(0);
      result = PhysicalMemory::create(device, size, *properties, memory);
    }
    return result == CUDA_SUCCESS ? give_handle(std::move(memory), handle) : result;
  });
}

CUresult CUDAAPI cuMemRelease(CUmemGenericAllocationHandle handle) {
  return with_memory(handle, [&](PhysicalHandle& held) {
    const std::lock_guard lock(handles_mutex);
    if (held.references == 0) return CUDA_ERROR_INVALID_VALUE;
    if (--held.references == 0) driver().physical.remove(tag(handle));
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuMemRetainAllocationHandle(CUmemGenericAllocationHandle* handle, void* address) {
  return with_healthy_driver([&](Driver& self) {
    if (handle == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const auto allocation = self.memory.find(reinterpret_cast<std::uint64_t>(address));
    if (!allocation || allocation->physical == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return give_handle(allocation->physical, handle);
  });
}

CUresult CUDAAPI cuMemMap(CUdeviceptr pointer, size_t size, size_t offset, CUmemGenericAllocationHandle handle,
                          unsigned long long flags) {
  return with_memory(handle, [&](const PhysicalHandle& held) {
    if (flags != 0 || offset != 0 || size != held.memory->bytes()) return CUDA_ERROR_INVALID_VALUE;
    return driver().virtual_memory.map(pointer, held.memory);
  });
}

CUresult CUDAAPI cuMemUnmap(CUdeviceptr pointer, size_t size) {
  return with_healthy_driver([&](Driver& self) {
    if (!whole_granules(size) || pointer % kGranule != 0) return CUDA_ERROR_INVALID_VALUE;
    // What was submitted may still use it.
    for (const auto& context : self.contexts.all()) {
      if (context->active()) context->synchronize();
    }
    return self.virtual_memory.unmap(pointer, size);
  });
}

CUresult CUDAAPI cuMemSetAccess(CUdeviceptr pointer, size_t size, const CUmemAccessDesc* descriptions, size_t count) {
  return with_healthy_driver([&](Driver& self) {
    if (descriptions == nullptr || count == 0 || !whole_granules(size) || pointer % kGranule != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    for (std::size_t i = 0; i < count; ++i) {
      const CUmemAccessDesc& one = descriptions[i];
      if (one.location.type != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_NOT_SUPPORTED;
      if (const CUresult error = check_device(one.location.id); error != CUDA_SUCCESS) return error;
      if (one.flags == CU_MEM_ACCESS_FLAGS_PROT_READ) {
        log(LogLevel::error, "cuMemSetAccess refused reason=\"memory that can only be read is not supported\"");
        return CUDA_ERROR_NOT_SUPPORTED;
      }
      if (one.flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE && one.flags != CU_MEM_ACCESS_FLAGS_PROT_NONE) {
        return CUDA_ERROR_INVALID_VALUE;
      }
    }
    for (std::size_t i = 0; i < count; ++i) {
      const CUresult error = self.virtual_memory.set_access(
          pointer, size, descriptions[i].location.id, descriptions[i].flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
      if (error != CUDA_SUCCESS) return error;
    }
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuMemGetAccess(unsigned long long* flags, const CUmemLocation* location, CUdeviceptr pointer) {
  return with_healthy_driver([&](Driver& self) {
    if (flags == nullptr || location == nullptr || location->type != CU_MEM_LOCATION_TYPE_DEVICE) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (const CUresult error = check_device(location->id); error != CUDA_SUCCESS) return error;
    bool accessible = false;
    const CUresult result = self.virtual_memory.get_access(pointer, location->id, accessible);
    if (result == CUDA_SUCCESS) {
      *flags = accessible ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE : CU_MEM_ACCESS_FLAGS_PROT_NONE;
    }
    return result;
  });
}

CUresult CUDAAPI cuMemGetAllocationGranularity(size_t* granularity, const CUmemAllocationProp* properties,
                                               CUmemAllocationGranularity_flags option) {
  return with_healthy_driver([&](Driver&) {
    if (granularity == nullptr || properties == nullptr ||
        (option != CU_MEM_ALLOC_GRANULARITY_MINIMUM && option != CU_MEM_ALLOC_GRANULARITY_RECOMMENDED)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (const CUresult error = check_properties(*properties); error != CUDA_SUCCESS) return error;
    *granularity = kGranule;
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuMemGetAllocationPropertiesFromHandle(CUmemAllocationProp* properties,
                                                        CUmemGenericAllocationHandle handle) {
  return with_memory(handle, [&](const PhysicalHandle& held) {
    if (properties == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *properties = held.memory->properties();
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuMemExportToShareableHandle(void* shareable, CUmemGenericAllocationHandle handle,
                                              CUmemAllocationHandleType type, unsigned long long flags) {
  return with_memory(handle, [&](const PhysicalHandle& held) {
    if (shareable == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    if (type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) return CUDA_ERROR_NOT_SUPPORTED;
    return held.memory->export_file(*static_cast<int*>(shareable));
  });
}

CUresult CUDAAPI cuMemImportFromShareableHandle(CUmemGenericAllocationHandle* handle, void* shareable,
                                                CUmemAllocationHandleType type) {
  return with_healthy_driver([&](Driver&) {
    if (handle == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) return CUDA_ERROR_NOT_SUPPORTED;
    std::shared_ptr<PhysicalMemory> memory;
    const auto file = static_cast<int>(reinterpret_cast<std::intptr_t>(shareable));
    const CUresult result = PhysicalMemory::import(file, memory);
    return result == CUDA_SUCCESS ? give_handle(std::move(memory), handle) : result;
  });
}

VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemMapArrayAsync(CUarrayMapInfo*, unsigned int, CUstream) {
  return refuse("cuMemMapArrayAsync", "a sparse array is");
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemMapArrayAsync_ptsz(CUarrayMapInfo*, unsigned int, CUstream) {
  return refuse("cuMemMapArrayAsync", "a sparse array is");
}

CUresult CUDAAPI cuMemGetHandleForAddressRange(void*, CUdeviceptr, size_t, CUmemRangeHandleType, unsigned long long) {
  return refuse("cuMemGetHandleForAddressRange", "a handle of an address range is");
}
