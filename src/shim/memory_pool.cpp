// Memory pools: each device's default one, and those that programs make.
#include "shim/device.hpp"
#include "shim/location.hpp"
#include "shim/memory.hpp"
#include "shim/refuse_as.hpp"

using namespace vgpu::shim;
using vgpu::protocol::PoolHandle;

namespace {

/// Attributes that are an int for the program; the others are 64 bits.
bool is_int(CUmemPool_attribute attribute) noexcept {
  return attribute <= CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES;
}

bool known(CUmemPool_attribute attribute) noexcept {
  return attribute >= CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES && attribute <= CU_MEMPOOL_ATTR_USED_MEM_HIGH;
}

CUmemoryPool as_cuda(u64 pool) noexcept { return reinterpret_cast<CUmemoryPool>(pool); }

template <typename F>
CUresult with_pool(CUmemoryPool handle, F&& f) noexcept {
  return guarded([&]() -> CUresult {
    const u64 value = reinterpret_cast<u64>(handle);
    const Pool* pool = state().pools.find(value);
    return pool ? f(*pool, PoolHandle{value}) : CUDA_ERROR_INVALID_VALUE;
  });
}

/// The newer calls name a device as a location of a kind of memory.
template <typename F>
CUresult with_located(const char* name, const CUmemLocation* location, CUmemAllocationType type, F&& f) noexcept {
  return guarded([&]() -> CUresult {
    if (!location) return CUDA_ERROR_INVALID_VALUE;
    if (type != CU_MEM_ALLOCATION_TYPE_PINNED) return refuse_as(name, "a pool of managed memory");
    const CUresult result = check_device_location(*location, name);
    return result == CUDA_SUCCESS ? f(location->id) : result;
  });
}

}  // namespace

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool* pool, CUdevice ordinal) {
  return with_device(ordinal, [&](Device& device) {
    if (!pool) return CUDA_ERROR_INVALID_VALUE;
    *pool = as_cuda(device.default_pool);
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetMemPool(CUmemoryPool* pool, CUdevice ordinal) {
  return with_device(ordinal, [&](Device& device) {
    if (!pool) return CUDA_ERROR_INVALID_VALUE;
    *pool = as_cuda(device.pool.load());
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceSetMemPool(CUdevice ordinal, CUmemoryPool handle) {
  return with_device(ordinal, [&](Device& device) {
    return with_pool(handle, [&](const Pool& pool, PoolHandle value) -> CUresult {
      if (pool.device != ordinal) return CUDA_ERROR_INVALID_VALUE;
      const CUresult result = ask<call::cuDeviceSetMemPool>(0, {value, ordinal, 0});
      if (result == CUDA_SUCCESS) device.pool.store(value.value);
      return result;
    });
  });
}

CUresult cuMemGetDefaultMemPool(CUmemoryPool* pool, CUmemLocation* location, CUmemAllocationType type) {
  return with_located("cuMemGetDefaultMemPool", location, type,
                      [&](CUdevice device) { return cuDeviceGetDefaultMemPool(pool, device); });
}

CUresult cuMemGetMemPool(CUmemoryPool* pool, CUmemLocation* location, CUmemAllocationType type) {
  return with_located("cuMemGetMemPool", location, type,
                      [&](CUdevice device) { return cuDeviceGetMemPool(pool, device); });
}

CUresult cuMemSetMemPool(CUmemLocation* location, CUmemAllocationType type, CUmemoryPool pool) {
  return with_located("cuMemSetMemPool", location, type,
                      [&](CUdevice device) { return cuDeviceSetMemPool(device, pool); });
}

CUresult cuMemPoolCreate(CUmemoryPool* out, const CUmemPoolProps* properties) {
  return guarded([&]() -> CUresult {
    if (!out || !properties) return CUDA_ERROR_INVALID_VALUE;
    if (properties->allocType != CU_MEM_ALLOCATION_TYPE_PINNED)
      return refuse_as("cuMemPoolCreate", "a pool of managed memory");
    // A pool that is to share its memory with other processes would be of no use without the sharing.
    if (properties->handleTypes != CU_MEM_HANDLE_TYPE_NONE)
      return refuse_as("cuMemPoolCreate", "a pool whose memory can be exported");
    CUresult result = check_device_location(properties->location, "cuMemPoolCreate");
    if (result != CUDA_SUCCESS) return result;
    State& s = state();
    const auto minted = s.pools.mint();
    if (!minted.object) return CUDA_ERROR_OUT_OF_MEMORY;
    minted.object->device = properties->location.id;
    result =
        ask<call::cuMemPoolCreate>(0, {minted.handle, properties->location.id, properties->usage, properties->maxSize});
    if (result != CUDA_SUCCESS) {
      s.pools.release(minted.handle.value);
      return result;
    }
    *out = as_cuda(minted.handle.value);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemPoolDestroy(CUmemoryPool handle) {
  return with_pool(handle, [&](const Pool& pool, PoolHandle value) -> CUresult {
    if (pool.is_default) return CUDA_ERROR_INVALID_VALUE;
    // The device goes back to its default pool.
    Device& device = *state().devices[static_cast<std::size_t>(pool.device)];
    u64 current = value.value;
    device.pool.compare_exchange_strong(current, device.default_pool);
    const CUresult result = ask<call::cuMemPoolDestroy>(0, {value});
    state().pools.release(value.value);
    return result;
  });
}

CUresult cuMemPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void* value) {
  return with_pool(pool, [&](const Pool&, PoolHandle handle) -> CUresult {
    if (!value || !known(attribute)) return CUDA_ERROR_INVALID_VALUE;
    call::cuMemPoolGetAttribute::Reply reply{};
    const CUresult result = ask<call::cuMemPoolGetAttribute>(0, {handle, static_cast<u32>(attribute), 0}, &reply);
    if (result != CUDA_SUCCESS) return result;
    if (is_int(attribute))
      *static_cast<int*>(value) = static_cast<int>(reply.value);
    else
      *static_cast<cuuint64_t*>(value) = reply.value;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void* value) {
  return with_pool(pool, [&](const Pool&, PoolHandle handle) -> CUresult {
    if (!value || !known(attribute)) return CUDA_ERROR_INVALID_VALUE;
    const u64 number =
        is_int(attribute) ? static_cast<u64>(*static_cast<int*>(value)) : *static_cast<cuuint64_t*>(value);
    return ask<call::cuMemPoolSetAttribute>(0, {handle, static_cast<u32>(attribute), 0, number});
  });
}

CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t keep_bytes) {
  return with_pool(pool, [&](const Pool&, PoolHandle handle) {
    return ask<call::cuMemPoolTrimTo>(0, {handle, keep_bytes});
  });
}

CUresult cuMemPoolSetAccess(CUmemoryPool pool, const CUmemAccessDesc* descriptions, size_t count) {
  return with_pool(pool, [&](const Pool&, PoolHandle handle) -> CUresult {
    if (!descriptions || count == 0) return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < count; ++i)
      if (const CUresult result = check_device_location(descriptions[i].location, "cuMemPoolSetAccess");
          result != CUDA_SUCCESS)
        return result;
    for (size_t i = 0; i < count; ++i) {
      const CUresult result = ask<call::cuMemPoolSetAccess>(
          0, {handle, descriptions[i].location.id, static_cast<u32>(descriptions[i].flags)});
      if (result != CUDA_SUCCESS) return result;
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuMemPoolGetAccess(CUmemAccess_flags* flags, CUmemoryPool pool, CUmemLocation* location) {
  return with_pool(pool, [&](const Pool&, PoolHandle handle) -> CUresult {
    if (!flags || !location) return CUDA_ERROR_INVALID_VALUE;
    CUresult result = check_device_location(*location, "cuMemPoolGetAccess");
    if (result != CUDA_SUCCESS) return result;
    call::cuMemPoolGetAccess::Reply reply{};
    result = ask<call::cuMemPoolGetAccess>(0, {handle, location->id, 0}, &reply);
    if (result == CUDA_SUCCESS) *flags = static_cast<CUmemAccess_flags>(reply.flags);
    return result;
  });
}

CUresult cuMemAllocFromPoolAsync(CUdeviceptr* out, size_t bytes, CUmemoryPool handle, CUstream stream) {
  return with_stream(stream, [&](Context& context, StreamHandle resolved) {
    return with_pool(handle, [&](const Pool&, PoolHandle pool) -> CUresult {
      if (!out || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
      call::cuMemAllocFromPoolAsync::Reply reply{};
      const CUresult result = ask<call::cuMemAllocFromPoolAsync>(context.index(), {bytes, pool, resolved}, &reply);
      if (result != CUDA_SUCCESS) return result;
      *out = static_cast<CUdeviceptr>(reply.pointer);
      remember_device_memory(context, *out, bytes, pool.value);
      return CUDA_SUCCESS;
    });
  });
}
