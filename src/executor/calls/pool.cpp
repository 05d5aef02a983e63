// Memory pools.
#include "executor/enum_range.hpp"
#include "executor/pool_memory.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

bool is_default(const Invocation& in, PoolHandle handle) {
  return handle.well_formed() && handle.generation() == 0 &&
         handle.index() <= static_cast<u32>(in.session.device_count());
}

/// The driver's pool. A device's default pool is entered when it is first named: it exists from the start.
CUmemoryPool find_pool(Invocation& in, PoolHandle handle) {
  if (const auto known = in.session.handles.find<CUmemoryPool>(handle)) return known;
  CUdevice device = 0;
  CUmemoryPool pool = nullptr;
  if (!is_default(in, handle) || !in.session.device(static_cast<i32>(handle.index()) - 1, device) ||
      in.cuda.cuDeviceGetDefaultMemPool(&pool, device) != CUDA_SUCCESS)
    return nullptr;
  in.session.handles.put(handle, pool);
  return pool;
}

/// False: not one of the attributes whose value is a number that fits. Takes no unknown ones: how many bytes the driver
/// would read or write is not known either.
bool pool_attribute(u32 number, CUmemPool_attribute& attribute) noexcept {
  if (number < CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES || number > CU_MEMPOOL_ATTR_USED_MEM_HIGH) return false;
  attribute = static_cast<CUmemPool_attribute>(number);
  return true;
}

}  // namespace

VGPU_HANDLER(cuMemPoolCreate) {
  if (is_default(in, request.pool) || !in.session.handles.vacant(request.pool)) return CUDA_ERROR_INVALID_HANDLE;
  CUmemPoolProps properties{};
  properties.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  properties.maxSize = request.most_bytes;
  properties.usage = static_cast<unsigned short>(request.usage);
  if (!in.session.device(request.device, properties.location.id)) return CUDA_ERROR_INVALID_DEVICE;
  CUmemoryPool pool = nullptr;
  const CUresult result = in.cuda.cuMemPoolCreate(&pool, &properties);
  if (result == CUDA_SUCCESS) in.session.handles.put(request.pool, pool);
  return result;
}

VGPU_HANDLER(cuMemPoolDestroy) {
  if (is_default(in, request.pool)) return CUDA_ERROR_INVALID_VALUE;
  const auto pool = in.session.handles.take<CUmemoryPool>(request.pool);
  if (pool == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  std::unique_lock lock(in.session.current_pools_mutex);
  const auto of_device = [&](const auto& entry) {
    CUmemoryPool standard = nullptr;
    if (entry.second.value != request.pool.value) return false;
    // It may live on for a while, and nothing more may come out of it.
    if (in.cuda.cuDeviceGetDefaultMemPool(&standard, entry.first) == CUDA_SUCCESS)
      in.cuda.cuDeviceSetMemPool(entry.first, standard);
    return true;
  };
  std::erase_if(in.session.current_pools, of_device);
  lock.unlock();
  return in.session.memory.end_pool(pool);
}

VGPU_HANDLER(cuMemPoolGetAttribute) {
  CUmemPool_attribute attribute{};
  if (!pool_attribute(request.attribute, attribute)) return CUDA_ERROR_INVALID_VALUE;
  const CUmemoryPool pool = find_pool(in, request.pool);
  if (pool == nullptr) return CUDA_ERROR_INVALID_VALUE;
  // Little-endian: an int attribute fills the low half.
  reply.value = 0;
  return in.cuda.cuMemPoolGetAttribute(pool, attribute, &reply.value);
}

VGPU_HANDLER(cuMemPoolSetAttribute) {
  CUmemPool_attribute attribute{};
  if (!pool_attribute(request.attribute, attribute)) return CUDA_ERROR_INVALID_VALUE;
  const CUmemoryPool pool = find_pool(in, request.pool);
  if (pool == nullptr) return CUDA_ERROR_INVALID_VALUE;
  u64 value = request.value;
  return in.cuda.cuMemPoolSetAttribute(pool, attribute, &value);
}

VGPU_HANDLER(cuMemPoolTrimTo) {
  const CUmemoryPool pool = find_pool(in, request.pool);
  if (pool == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const CUresult result = in.cuda.cuMemPoolTrimTo(pool, request.keep_bytes);
  in.session.memory.refresh();
  return result;
}

VGPU_HANDLER(cuMemPoolSetAccess) {
  CUmemAccessDesc description{};
  description.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  if (!to_enum<CU_MEM_ACCESS_FLAGS_PROT_READWRITE>(request.flags, description.flags)) return CUDA_ERROR_INVALID_VALUE;
  if (!in.session.device(request.device, description.location.id)) return CUDA_ERROR_INVALID_DEVICE;
  const CUmemoryPool pool = find_pool(in, request.pool);
  return pool != nullptr ? in.cuda.cuMemPoolSetAccess(pool, &description, 1) : CUDA_ERROR_INVALID_VALUE;
}

VGPU_HANDLER(cuMemPoolGetAccess) {
  CUmemLocation location{};
  location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  if (!in.session.device(request.device, location.id)) return CUDA_ERROR_INVALID_DEVICE;
  const CUmemoryPool pool = find_pool(in, request.pool);
  if (pool == nullptr) return CUDA_ERROR_INVALID_VALUE;
  CUmemAccess_flags flags{};
  const CUresult result = in.cuda.cuMemPoolGetAccess(&flags, pool, &location);
  reply.flags = static_cast<u64>(flags);
  return result;
}

VGPU_HANDLER(cuMemAllocFromPoolAsync) {
  CUstream stream = nullptr;
  if (!in.stream(request.stream, stream)) return CUDA_ERROR_INVALID_HANDLE;
  const CUmemoryPool pool = find_pool(in, request.pool);
  if (pool == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return allocate_from_pool(in, pool, stream, request.bytes, reply.pointer, [&](CUdeviceptr* pointer) {
    return in.cuda.cuMemAllocFromPoolAsync(pointer, request.bytes, pool, stream);
  });
}

VGPU_HANDLER(cuDeviceSetMemPool) {
  CUdevice device = 0;
  if (!in.session.device(request.device, device)) return CUDA_ERROR_INVALID_DEVICE;
  const CUmemoryPool pool = find_pool(in, request.pool);
  if (pool == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const CUresult result = in.cuda.cuDeviceSetMemPool(device, pool);
  if (result != CUDA_SUCCESS) return result;
  const std::lock_guard lock(in.session.current_pools_mutex);
  in.session.current_pools[device] = request.pool;
  return result;
}

}  // namespace vgpu::executor
