// Virtual memory: reserved addresses, physical memory, and the mappings between them.
#include "executor/dispatch.hpp"
#include "executor/enum_range.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

CUdeviceptr address(Pointer pointer) noexcept { return static_cast<CUdeviceptr>(pointer); }

/// Handles of physical memory are numbers for CUDA; the tables hold them as they hold all others.
CUmemGenericAllocationHandle number(const void* handle) noexcept { return reinterpret_cast<std::uint64_t>(handle); }

/// False: the guest has no such device.
bool properties_of(const Session& session, i32 ordinal, u32 flags, CUmemAllocationProp& properties) {
  CUdevice device = 0;
  if (!session.device(ordinal, device)) return false;
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location = {CU_MEM_LOCATION_TYPE_DEVICE, device};
  properties.allocFlags.compressionType = static_cast<unsigned char>(flags);
  properties.allocFlags.gpuDirectRDMACapable = static_cast<unsigned char>(flags >> 8);
  properties.allocFlags.usage = static_cast<unsigned short>(flags >> 16);
  return true;
}

}  // namespace

VGPU_HANDLER(cuMemAddressReserve) {
  CUdeviceptr pointer = 0;
  const CUresult result =
      in.cuda.cuMemAddressReserve(&pointer, request.bytes, request.alignment, address(request.hint), 0);
  reply.pointer = Pointer{pointer};
  return result;
}

VGPU_HANDLER(cuMemAddressFree) { return in.cuda.cuMemAddressFree(address(request.pointer), request.bytes); }

VGPU_HANDLER(cuMemCreate) {
  if (!in.session.handles.vacant(request.allocation)) return CUDA_ERROR_INVALID_HANDLE;
  CUmemAllocationProp properties{};
  if (!properties_of(in.session, request.device, request.allocation_flags, properties))
    return CUDA_ERROR_INVALID_DEVICE;
  CUmemGenericAllocationHandle handle = 0;
  const CUresult result = in.session.memory.create(
      handle, request.bytes, [&] { return in.cuda.cuMemCreate(&handle, request.bytes, &properties, 0); });
  if (result == CUDA_SUCCESS) in.session.handles.put(request.allocation, reinterpret_cast<const void*>(handle));
  return result;
}

VGPU_HANDLER(cuMemRelease) {
  const auto* const handle = in.session.handles.take<const void*>(request.allocation);
  if (handle == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  const auto memory = in.session.memory.release(number(handle));
  return in.cuda.cuMemRelease(number(handle));
}

VGPU_HANDLER(cuMemMap) {
  const auto* const handle = in.session.handles.find<const void*>(request.allocation);
  if (handle == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  // Held over the driver's call: another thread may be about to release the handle.
  auto memory = in.session.memory.physical(number(handle));
  if (memory == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  const CUresult result = in.cuda.cuMemMap(address(request.pointer), request.bytes, request.offset, number(handle), 0);
  if (result == CUDA_SUCCESS) in.session.memory.mapped(static_cast<u64>(request.pointer), std::move(memory));
  return result;
}

VGPU_HANDLER(cuMemUnmap) {
  // Out of the list first: another thread may map there as soon as the driver has unmapped it.
  auto gone = in.session.memory.unmap(static_cast<u64>(request.pointer), request.bytes);
  const CUresult result = in.cuda.cuMemUnmap(address(request.pointer), request.bytes);
  if (result != CUDA_SUCCESS)
    for (auto& [pointer, memory] : gone) in.session.memory.mapped(pointer, std::move(memory));
  return result;
}

VGPU_HANDLER(cuMemSetAccess) {
  CUdevice device = 0;
  if (!in.session.device(request.device, device)) return CUDA_ERROR_INVALID_DEVICE;
  CUmemAccessDesc description{{CU_MEM_LOCATION_TYPE_DEVICE, device}, {}};
  if (!to_enum<CU_MEM_ACCESS_FLAGS_PROT_READWRITE>(request.flags, description.flags)) return CUDA_ERROR_INVALID_VALUE;
  return in.cuda.cuMemSetAccess(address(request.pointer), request.bytes, &description, 1);
}

VGPU_HANDLER(cuMemGetAccess) {
  CUdevice device = 0;
  if (!in.session.device(request.device, device)) return CUDA_ERROR_INVALID_DEVICE;
  const CUmemLocation location{CU_MEM_LOCATION_TYPE_DEVICE, device};
  unsigned long long flags = 0;
  const CUresult result = in.cuda.cuMemGetAccess(&flags, &location, address(request.pointer));
  reply.flags = flags;
  return result;
}

VGPU_HANDLER(cuMemGetAllocationGranularity) {
  CUmemAllocationProp properties{};
  if (!properties_of(in.session, request.device, request.allocation_flags, properties))
    return CUDA_ERROR_INVALID_DEVICE;
  if (request.option > CU_MEM_ALLOC_GRANULARITY_RECOMMENDED) return CUDA_ERROR_INVALID_VALUE;
  std::size_t bytes = 0;
  const CUresult result = in.cuda.cuMemGetAllocationGranularity(
      &bytes, &properties, static_cast<CUmemAllocationGranularity_flags>(request.option));
  reply.bytes = bytes;
  return result;
}

}  // namespace vgpu::executor
