#include <algorithm>
#include <cstring>

#include "executor/capability_mask.hpp"
#include "executor/dispatch.hpp"
#include "protocol/payload.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

/// The guest's driver and shim agree on what is whose: only a guest that means harm names what is not its own.
CUresult extent_result(Invocation& in, VmArena::Changed changed) {
  switch (changed) {
    case VmArena::Changed::done:
      return CUDA_SUCCESS;
    case VmArena::Changed::bad_value:
      return CUDA_ERROR_INVALID_VALUE;
    case VmArena::Changed::refused:
      return CUDA_ERROR_OPERATING_SYSTEM;
    case VmArena::Changed::outside:
      return in.violate(VGPU_END_BAD_BULK, "extent");
    case VmArena::Changed::foreign:
      return in.violate(VGPU_END_BAD_BULK, "a granule of another channel");
  }
  return CUDA_ERROR_INVALID_VALUE;
}

}  // namespace

VGPU_HANDLER(vgpuAttach) {
  if (request.protocol_version >> 16 != VGPU_VERSION_MAJOR)
    return in.violate(VGPU_END_VERSION, "major number of the protocol");
  Region& region = in.session.region;
  if (region.has_arena()) {
    if (request.arena_address != 0 && region.arena_address() != request.arena_address) return CUDA_ERROR_INVALID_VALUE;
  } else if (region.arena_bytes() != 0 || request.arena_address != 0) {
    switch (region.map_arena(request.arena_address)) {
      case Region::Arena::mapped:
        break;
      case Region::Arena::bad_address:
        return CUDA_ERROR_INVALID_VALUE;
      case Region::Arena::taken:
        return CUDA_ERROR_MAP_FAILED;
    }
  }
  int version = 0;
  const CUresult result = in.cuda.cuDriverGetVersion(&version);
  reply.driver_version = static_cast<u32>(version);
  reply.device_count = static_cast<u32>(in.session.device_count());
  return result;
}

VGPU_HANDLER(vgpuDeviceInfo) {
  if (request.into_bytes < sizeof(DeviceInfo)) return CUDA_ERROR_INVALID_VALUE;
  // All that the guest offers, not only what is used: a range that leads out of the region is never honest.
  std::byte* into = in.session.region.span(request.into, request.into_bytes);
  if (into == nullptr) return in.violate(VGPU_END_BAD_BULK, "into");
  CUdevice device = 0;
  if (!in.session.device(request.device, device)) return CUDA_ERROR_INVALID_DEVICE;
  DeviceInfo info{};
  for (u32 i = 1; i < DeviceInfo::kAttributes; ++i) {
    const auto attribute = static_cast<CUdevice_attribute>(i);
    int value = 0;
    if (in.cuda.cuDeviceGetAttribute(&value, attribute, device) != CUDA_SUCCESS) continue;
    info.attribute[i] = carried_capability(i, value);
    info.known[i] = 1;
  }
  CUresult result = in.cuda.cuDeviceGetName(info.name.data(), static_cast<int>(info.name.size()), device);
  if (result != CUDA_SUCCESS) return result;
  info.name.back() = '\0';
  result = in.cuda.cuDeviceGetPCIBusId(info.pci_bus_id.data(), static_cast<int>(info.pci_bus_id.size()), device);
  if (result != CUDA_SUCCESS) return result;
  info.pci_bus_id.back() = '\0';
  CUuuid uuid{};
  result = in.cuda.cuDeviceGetUuid_v2(&uuid, device);
  if (result != CUDA_SUCCESS) return result;
  std::memcpy(info.uuid.data(), uuid.bytes, info.uuid.size());
  std::size_t total = 0;
  result = in.cuda.cuDeviceTotalMem_v2(&total, device);
  if (result != CUDA_SUCCESS) return result;
  const u64 most = in.session.account.limit(Limit::memory);
  info.total_memory = most != 0 ? std::min<u64>(total, most) : total;
  info.compute_major = static_cast<u32>(info.attribute[CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR]);
  info.compute_minor = static_cast<u32>(info.attribute[CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR]);
  // The driver tells the range only where a context is current; both stay 0 (no choice of priorities) otherwise.
  if (in.cuda.cuCtxGetStreamPriorityRange(&info.least_stream_priority, &info.greatest_stream_priority) != CUDA_SUCCESS)
    info.least_stream_priority = info.greatest_stream_priority = 0;
  std::memcpy(into, &info, sizeof info);
  reply.written = sizeof info;
  return CUDA_SUCCESS;
}

VGPU_HANDLER(vgpuUnsupported) {
  std::string name;
  if (!in.name(name)) return CUDA_ERROR_UNKNOWN;
  in.session.count_unsupported(name);
  return CUDA_SUCCESS;
}

VGPU_HANDLER(vgpuServeHostFunctions) {
  if (!in.session.host_functions.serve(in.answer())) return CUDA_ERROR_INVALID_VALUE;
  in.deferred = true;
  return CUDA_SUCCESS;
}

VGPU_HANDLER(vgpuMapExtent) {
  if (!in.session.region.in_vm()) return CUDA_ERROR_NOT_SUPPORTED;
  return extent_result(in, in.session.region.map_extent(request.extent, request.bytes, request.backing));
}

VGPU_HANDLER(vgpuUnmapExtent) {
  if (!in.session.region.in_vm()) return CUDA_ERROR_NOT_SUPPORTED;
  const u64 start = static_cast<u64>(request.extent);
  // Under the lock nothing of it becomes registered meanwhile.
  std::lock_guard lock(in.session.extents_mutex);
  for (const auto& [offset, bytes] : in.session.extents)
    if (offset < start ? start - offset < bytes : offset - start < request.bytes)
      return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
  return extent_result(in, in.session.region.unmap_extent(request.extent, request.bytes));
}

// The ring is read in order, so that everything before this was read. The daemon ends the session when the channel
// closes.
VGPU_HANDLER(vgpuKernelText) {
  std::byte* into = in.session.region.span(request.into, request.bytes);
  if (into == nullptr) return in.violate(VGPU_END_BAD_BULK, "place for text");
  reply.written = in.session.kernel_text.read({into, request.bytes});
  return CUDA_SUCCESS;
}

VGPU_HANDLER(vgpuBye) { return CUDA_SUCCESS; }

}  // namespace vgpu::executor
