#include "softgpu/capture.hpp"
#include "softgpu/graph_memory.hpp"
#include "softgpu/guard.hpp"

/// Stream-ordered allocation. An address is usable as soon as the call returns; what was freed in a stream comes back
/// to its pool when the stream gets there.
using namespace vgpu::softgpu;

namespace {

CUresult allocate(Context& context, CUdeviceptr* pointer, std::size_t bytes, const std::shared_ptr<MemoryPool>& pool) {
  if (pointer == nullptr || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  MemoryPool::Range range = pool->get(bytes);
  if (range.address == 0) {
    if (bytes > pool->device().total_memory()) return CUDA_ERROR_OUT_OF_MEMORY;
    // Frees that are on their way count as free memory.
    context.synchronize();
    for (const auto& other : driver().pools.all()) other->trim(0);
    range = pool->get(bytes);
    if (range.address == 0) return CUDA_ERROR_OUT_OF_MEMORY;
  }
  Allocation allocation;
  allocation.address = range.address;
  allocation.bytes = bytes;
  allocation.reserved = range.reserved;
  allocation.kind = MemoryKind::async;
  allocation.context = &context;
  allocation.device = &pool->device();
  allocation.pool = pool;
  driver().memory.enter(std::move(allocation));
  *pointer = range.address;
  return CUDA_SUCCESS;
}

/// In a capture: a node of the graph. The error of a node that can't be made is the call's.
std::optional<CUresult> capture_memory(Stream& stream, CUgraphNodeParams& parameters) {
  if (!any_capture()) return std::nullopt;
  const std::lock_guard lock(graphs_mutex());
  bool captures = false;
  if (const CUresult error = route(stream, captures); error != CUDA_SUCCESS) return error;
  if (!captures) return std::nullopt;
  SharedWork work;
  if (const CUresult error = make_work(parameters, *capture_of(stream)->graph, work); error != CUDA_SUCCESS) {
    return error;
  }
  capture_node(stream, std::move(work));
  return CUDA_SUCCESS;
}

std::optional<CUresult> capture_allocation(Stream& stream, CUdeviceptr* pointer, std::size_t bytes,
                                           const Device& device) {
  if (!any_capture()) return std::nullopt;
  if (pointer == nullptr) return CUDA_ERROR_INVALID_VALUE;
  CUgraphNodeParams parameters{};
  parameters.type = CU_GRAPH_NODE_TYPE_MEM_ALLOC;
  parameters.alloc.poolProps.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
  parameters.alloc.poolProps.location = {CU_MEM_LOCATION_TYPE_DEVICE, device.ordinal};
  parameters.alloc.bytesize = bytes;
  const auto result = capture_memory(stream, parameters);
  if (result == CUDA_SUCCESS) *pointer = parameters.alloc.dptr;
  return result;
}

std::optional<CUresult> capture_free(Stream& stream, CUdeviceptr pointer) {
  CUgraphNodeParams parameters{};
  parameters.type = CU_GRAPH_NODE_TYPE_MEM_FREE;
  parameters.free.dptr = pointer;
  return capture_memory(stream, parameters);
}

CUresult allocate_from_current(CUdeviceptr* pointer, std::size_t bytes, CUstream handle) {
  return with_stream(handle, [&](Context& context, Stream& stream) {
    if (const auto result = capture_allocation(stream, pointer, bytes, context.device())) return *result;
    return allocate(context, pointer, bytes, context.device().current_pool());
  });
}

CUresult allocate_from(CUdeviceptr* pointer, std::size_t bytes, CUmemoryPool pool_handle, CUstream handle) {
  return with_stream(handle, [&](Context& context, Stream& stream) {
    const auto pool = driver().pools.find(pool_handle);
    if (pool == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (const auto result = capture_allocation(stream, pointer, bytes, pool->device())) return *result;
    return allocate(context, pointer, bytes, pool);
  });
}

CUresult free_in(CUdeviceptr pointer, CUstream handle) {
  return with_stream(handle, [&](Context&, Stream& stream) {
    if (pointer == 0) return CUDA_SUCCESS;
    if (const auto result = capture_free(stream, pointer)) return *result;
    if (auto of_graph = free_graph_memory(pointer); of_graph != nullptr) {
      stream.submit([of_graph = std::move(of_graph)] {});
      return CUDA_SUCCESS;
    }
    std::shared_ptr<MemoryPool> pool;
    Memory& memory = driver().memory;
    if (!memory.begin_free(pointer, pool)) return CUDA_ERROR_INVALID_VALUE;
    stream.run_short([pointer] {
      Memory& of = driver().memory;
      const auto allocation = of.take(pointer, [](const Allocation& it) { return it.freeing; });
      if (allocation) of.dispose(*allocation);
    });
    return CUDA_SUCCESS;
  });
}

template <class Then>
CUresult with_pool(CUmemoryPool handle, Then&& then) {
  return with_healthy_driver([&](Driver& self) {
    const auto pool = self.pools.find(handle);
    if (pool == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return static_cast<CUresult>(then(pool));
  });
}

CUresult check_location(const CUmemLocation* location, CUmemAllocationType type) {
  if (location == nullptr || type != CU_MEM_ALLOCATION_TYPE_PINNED) return CUDA_ERROR_INVALID_VALUE;
  if (location->type != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_NOT_SUPPORTED;
  return check_device(location->id);
}

}  // namespace

#undef cuMemAllocAsync
#undef cuMemAllocFromPoolAsync
#undef cuMemFreeAsync
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemAllocAsync(CUdeviceptr* pointer, size_t bytes, CUstream stream) {
  return allocate_from_current(pointer, bytes, stream);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemAllocAsync_ptsz(CUdeviceptr* pointer, size_t bytes, CUstream stream) {
  return allocate_from_current(pointer, bytes, per_thread(stream));
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemAllocFromPoolAsync(CUdeviceptr* pointer, size_t bytes, CUmemoryPool pool,
                                                          CUstream stream) {
  return allocate_from(pointer, bytes, pool, stream);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemAllocFromPoolAsync_ptsz(CUdeviceptr* pointer, size_t bytes, CUmemoryPool pool,
                                                               CUstream stream) {
  return allocate_from(pointer, bytes, pool, per_thread(stream));
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemFreeAsync(CUdeviceptr pointer, CUstream stream) {
  return free_in(pointer, stream);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuMemFreeAsync_ptsz(CUdeviceptr pointer, CUstream stream) {
  return free_in(pointer, per_thread(stream));
}

CUresult CUDAAPI cuMemPoolCreate(CUmemoryPool* handle, const CUmemPoolProps* properties) {
  return with_healthy_driver([&](Driver& self) {
    if (handle == nullptr || properties == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult error = check_location(&properties->location, properties->allocType); error != CUDA_SUCCESS) {
      return error;
    }
    if (properties->handleTypes != CU_MEM_HANDLE_TYPE_NONE) return CUDA_ERROR_NOT_SUPPORTED;
    auto pool = std::make_shared<MemoryPool>(self.memory, self.device(properties->location.id), properties->maxSize);
    pool->handle = self.pools.insert(pool);
    *handle = pool->handle;
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuMemPoolDestroy(CUmemoryPool handle) {
  return with_pool(handle, [&](const std::shared_ptr<MemoryPool>& pool) {
    Driver& self = driver();
    Device& device = pool->device();
    if (pool == device.default_pool) return CUDA_ERROR_INVALID_VALUE;
    self.pools.remove(handle);
    // Its allocations live on until they are freed; the device falls back to the default pool.
    if (device.current_pool() == pool) device.set_current_pool(device.default_pool);
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuMemPoolTrimTo(CUmemoryPool handle, size_t keep) {
  return with_pool(handle, [&](const std::shared_ptr<MemoryPool>& pool) {
    pool->trim(keep);
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuMemPoolGetAttribute(CUmemoryPool handle, CUmemPool_attribute attribute, void* value) {
  return with_pool(handle, [&](const std::shared_ptr<MemoryPool>& pool) {
    return value == nullptr ? CUDA_ERROR_INVALID_VALUE : pool->get_attribute(attribute, value);
  });
}

CUresult CUDAAPI cuMemPoolSetAttribute(CUmemoryPool handle, CUmemPool_attribute attribute, void* value) {
  return with_pool(handle, [&](const std::shared_ptr<MemoryPool>& pool) {
    return value == nullptr ? CUDA_ERROR_INVALID_VALUE : pool->set_attribute(attribute, value);
  });
}

CUresult CUDAAPI cuMemPoolSetAccess(CUmemoryPool handle, const CUmemAccessDesc* descriptions, size_t count) {
  return with_pool(handle, [&](const std::shared_ptr<MemoryPool>& pool) {
    if (count != 0 && descriptions == nullptr) return CUDA_ERROR_INVALID_VALUE;
    for (std::size_t i = 0; i < count; ++i) {
      if (descriptions[i].location.type != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_INVALID_VALUE;
      if (const CUresult error = check_device(descriptions[i].location.id); error != CUDA_SUCCESS) return error;
      const CUmemAccess_flags flags = descriptions[i].flags;
      const bool own = descriptions[i].location.id == pool->device().ordinal;
      // The device that a pool is on can't lose its access, and no device can be held to reading.
      if (flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE && (own || flags != CU_MEM_ACCESS_FLAGS_PROT_NONE)) {
        return CUDA_ERROR_INVALID_VALUE;
      }
    }
    for (std::size_t i = 0; i < count; ++i) {
      driver().memory.set_pool_access(*pool, driver().device(descriptions[i].location.id),
                                      descriptions[i].flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    }
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuMemPoolGetAccess(CUmemAccess_flags* flags, CUmemoryPool handle, CUmemLocation* location) {
  return with_pool(handle, [&](const std::shared_ptr<MemoryPool>& pool) {
    if (flags == nullptr || location == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (location->type != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult error = check_device(location->id); error != CUDA_SUCCESS) return error;
    *flags = pool->open_to(static_cast<std::size_t>(location->id)) ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE
                                                                   : CU_MEM_ACCESS_FLAGS_PROT_NONE;
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuMemGetDefaultMemPool(CUmemoryPool* handle, CUmemLocation* location, CUmemAllocationType type) {
  return with_healthy_driver([&](Driver& self) {
    if (handle == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const CUresult error = check_location(location, type);
    if (error == CUDA_SUCCESS) *handle = self.device(location->id).default_pool->handle;
    return error;
  });
}

CUresult CUDAAPI cuMemGetMemPool(CUmemoryPool* handle, CUmemLocation* location, CUmemAllocationType type) {
  return with_healthy_driver([&](Driver& self) {
    if (handle == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const CUresult error = check_location(location, type);
    if (error == CUDA_SUCCESS) *handle = self.device(location->id).current_pool()->handle;
    return error;
  });
}
