// The default memory pool of each device; there are no others.
#include "shim/device.hpp"

using namespace vgpu::shim;

namespace {

/// Attributes that are an int for the program; the others are 64 bits.
bool is_int(CUmemPool_attribute attribute) noexcept {
  return attribute <= CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES;
}

bool known(CUmemPool_attribute attribute) noexcept {
  return attribute >= CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES && attribute <= CU_MEMPOOL_ATTR_USED_MEM_HIGH;
}

template <typename F>
CUresult with_pool(CUmemoryPool pool, F&& f) noexcept {
  return guarded([&]() -> CUresult {
    const CUdevice device = device_of_pool(pool);
    return device < 0 ? CUDA_ERROR_INVALID_VALUE : f(device);
  });
}

}  // namespace

CUresult cuMemPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void* value) {
  return with_pool(pool, [&](CUdevice device) -> CUresult {
    if (!value || !known(attribute)) return CUDA_ERROR_INVALID_VALUE;
    call::cuMemPoolGetAttribute::Reply reply{};
    const CUresult result = ask<call::cuMemPoolGetAttribute>(0, {device, static_cast<u32>(attribute)}, &reply);
    if (result != CUDA_SUCCESS) return result;
    if (is_int(attribute))
      *static_cast<int*>(value) = static_cast<int>(reply.value);
    else
      *static_cast<cuuint64_t*>(value) = reply.value;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void* value) {
  return with_pool(pool, [&](CUdevice device) -> CUresult {
    if (!value || !known(attribute)) return CUDA_ERROR_INVALID_VALUE;
    const u64 number =
        is_int(attribute) ? static_cast<u64>(*static_cast<int*>(value)) : *static_cast<cuuint64_t*>(value);
    return ask<call::cuMemPoolSetAttribute>(0, {device, static_cast<u32>(attribute), number});
  });
}

CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t keep_bytes) {
  return with_pool(pool, [&](CUdevice device) { return ask<call::cuMemPoolTrimTo>(0, {device, 0, keep_bytes}); });
}

CUresult cuMemPoolGetAccess(CUmemAccess_flags* flags, CUmemoryPool pool, CUmemLocation* location) {
  return with_pool(pool, [&](CUdevice device) -> CUresult {
    if (!flags || !location) return CUDA_ERROR_INVALID_VALUE;
    const bool own = location->type == CU_MEM_LOCATION_TYPE_DEVICE && location->id == device;
    *flags = own ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE : CU_MEM_ACCESS_FLAGS_PROT_NONE;
    return CUDA_SUCCESS;
  });
}
