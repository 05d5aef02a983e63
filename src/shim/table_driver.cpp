// What the private tables need of the calls that are carried.
#include <cstdio>

#include "common/cuda_names.hpp"
#include "shim/context.hpp"
#include "shim/refuse_as.hpp"
#include "shim/stream.hpp"
#include "shim/tables/driver.hpp"

namespace vgpu::shim {

bool gpc_map(std::vector<std::uint8_t>& gpc, std::vector<std::uint8_t>& slot) {
  return with_context([&](Context& context) -> CUresult {
           State& s = state();
           StagingChunk chunk(s.staging, s.staging.take());
           if (!chunk.taken()) return s.channel->health();
           call::vgpuProcessorMap::Reply reply{};
           const CUresult result =
               ask<call::vgpuProcessorMap>(context.index(), {chunk.offset(), Staging::kChunkBytes}, &reply);
           if (result != CUDA_SUCCESS) return result;
           if (reply.entries > Staging::kChunkBytes / 2) return CUDA_ERROR_UNKNOWN;
           const auto* const bytes = reinterpret_cast<const std::uint8_t*>(chunk.memory());
           gpc.assign(bytes, bytes + reply.entries);
           slot.assign(bytes + reply.entries, bytes + 2 * reply.entries);
           return CUDA_SUCCESS;
         }) == CUDA_SUCCESS;
}

}  // namespace vgpu::shim

namespace vgpu::shim::driver {

CUresult ready() noexcept {
  const CUresult result = shim::ready();
  return result == CUDA_SUCCESS ? state().channel->health() : result;
}

CUresult current_context(CUcontext* context) noexcept { return cuCtxGetCurrent(context); }

bool context_exists(CUcontext context) noexcept {
  return shim::ready() == CUDA_SUCCESS && state().contexts.find(reinterpret_cast<u64>(context)) != nullptr;
}

CUresult primary_context_handle(CUcontext* context, CUdevice ordinal) noexcept {
  return with_device(ordinal, [&](Device& device) -> CUresult {
    std::lock_guard lock(device.primary_mutex);
    CUresult result = CUDA_SUCCESS;
    const Context* primary = primary_context(ordinal, device, result);
    if (primary) *context = as_cuda(*primary);
    return result;
  });
}

CUresult context_device(CUcontext context, CUdevice* device) noexcept { return cuCtxGetDevice_v2(device, context); }

CUresult context_id(CUcontext context, std::uint64_t* id) noexcept {
  return guarded([&]() -> CUresult {
    const Context* found = state().contexts.find(reinterpret_cast<u64>(context));
    if (!found) return CUDA_ERROR_INVALID_CONTEXT;
    *id = found->id;
    return CUDA_SUCCESS;
  });
}

CUresult stream_id(CUcontext context, CUstream stream, std::uint64_t* id) noexcept {
  return guarded([&]() -> CUresult {
    const Context* found = find_context(context);
    if (!found) return CUDA_ERROR_INVALID_CONTEXT;
    StreamHandle resolved{0};
    const CUresult result = resolve_stream(*found, stream, resolved);
    if (result == CUDA_SUCCESS) *id = stream_identity(*found, resolved);
    return result;
  });
}

CUresult device_count(int* count) noexcept { return cuDeviceGetCount(count); }

CUresult device_uuid(CUdevice device, CUuuid* uuid) noexcept { return cuDeviceGetUuid_v2(uuid, device); }

CUresult device_attribute(CUdevice device, CUdevice_attribute attribute, int* value) noexcept {
  return cuDeviceGetAttribute(value, attribute, device);
}

CUresult load_module(CUmodule* module, const void* image) noexcept {
  if (!image) return CUDA_ERROR_INVALID_VALUE;
  std::uint32_t magic;
  std::memcpy(&magic, image, sizeof magic);
  if (magic != 0x466243b1 && magic != 0xba55ed50) return CUDA_ERROR_INVALID_IMAGE;
  return cuModuleLoadFatBinary(module, image);
}

CUresult unload_module(CUmodule module) noexcept { return cuModuleUnload(module); }

CUresult module_functions(CUmodule module, std::vector<CUfunction>& functions) {
  unsigned count = 0;
  const CUresult result = cuModuleGetFunctionCount(&count, module);
  if (result != CUDA_SUCCESS || count == 0) return result;
  functions.resize(count);
  return cuModuleEnumerateFunctions(functions.data(), count, module);
}

CUresult refuse_slot(TableId table, unsigned slot) noexcept {
  const std::string_view name = table_name(table);
  char text[64];
  std::snprintf(text, sizeof text, "%.*s[%u]", static_cast<int>(name.size()), name.data(), slot);
  return refuse_as(cuda_names()[table_name_index(table)], text);
}

void refuse_table(TableId table, const CUuuid& uuid) noexcept {
  char text[64];
  int at = std::snprintf(text, sizeof text, "export table ");
  for (const char byte : uuid.bytes)
    at +=
        std::snprintf(text + at, sizeof text - static_cast<std::size_t>(at), "%02x", static_cast<unsigned char>(byte));
  refuse_as(cuda_names()[table_name_index(table)], text);
}

}  // namespace vgpu::shim::driver
