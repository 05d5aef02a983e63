// The driver's private export tables, which the CUDA runtime needs before its first call: the same that the guest's
// library serves. Here is what they need of the driver calls.
#include "common/cuda_names.hpp"
#include "shim/tables/driver.hpp"
#include "shim/tables/integrity_check.hpp"
#include "softgpu/guard.hpp"
#include "softgpu/log.hpp"

namespace vgpu::shim {

// The multiprocessors of a software GPU lie nowhere.
bool gpc_map(std::vector<std::uint8_t>&, std::vector<std::uint8_t>&) { return false; }

int driver_version() noexcept {
  int version = 0;
  (void)cuDriverGetVersion(&version);
  return version;
}

}  // namespace vgpu::shim

namespace vgpu::shim::driver {

namespace {

using namespace vgpu::softgpu;

std::shared_ptr<Context> find_context(CUcontext handle) {
  if (handle != nullptr) return softgpu::driver().contexts.find(handle);
  const auto& stack = context_stack();
  return stack.empty() ? nullptr : stack.back();
}

}  // namespace

CUresult ready() noexcept {
  const CUresult error = check_initialized();
  return error == CUDA_SUCCESS ? softgpu::driver().fault() : error;
}

CUresult current_context(CUcontext* context) noexcept { return cuCtxGetCurrent(context); }

bool context_exists(CUcontext context) noexcept {
  return check_initialized() == CUDA_SUCCESS && softgpu::driver().contexts.find(context) != nullptr;
}

CUresult primary_context_handle(CUcontext* context, CUdevice device) noexcept {
  return with_driver([&](Driver& self) {
    if (const CUresult error = check_device(device); error != CUDA_SUCCESS) return error;
    *context = self.device(device).primary->handle;
    return CUDA_SUCCESS;
  });
}

CUresult context_device(CUcontext context, CUdevice* device) noexcept {
  return with_driver([&](Driver&) {
    const auto found = find_context(context);
    if (found == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    *device = found->device().ordinal;
    return CUDA_SUCCESS;
  });
}

CUresult context_id(CUcontext context, std::uint64_t* id) noexcept {
  return with_driver([&](Driver&) {
    const auto found = find_context(context);
    if (found == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    *id = found->id;
    return CUDA_SUCCESS;
  });
}

CUresult stream_id(CUcontext context, CUstream stream, std::uint64_t* id) noexcept {
  return with_driver([&](Driver&) {
    const auto found = find_context(context);
    if (found == nullptr || !found->active()) return CUDA_ERROR_INVALID_CONTEXT;
    const auto of = find_stream(*found, stream);
    if (of == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *id = of->id();
    return CUDA_SUCCESS;
  });
}

CUresult device_count(int* count) noexcept { return cuDeviceGetCount(count); }

CUresult device_uuid(CUdevice device, CUuuid* uuid) noexcept { return cuDeviceGetUuid_v2(uuid, device); }

CUresult device_attribute(CUdevice device, CUdevice_attribute attribute, int* value) noexcept {
  return cuDeviceGetAttribute(value, attribute, device);
}

// cuModuleLoadData tells a fatbin, and its wrapper, by the first word.
CUresult load_module(CUmodule* module, const void* image) noexcept { return cuModuleLoadData(module, image); }

CUresult unload_module(CUmodule module) noexcept { return cuModuleUnload(module); }

CUresult module_functions(CUmodule module, std::vector<CUfunction>& functions) {
  unsigned count = 0;
  const CUresult result = cuModuleGetFunctionCount(&count, module);
  if (result != CUDA_SUCCESS || count == 0) return result;
  functions.resize(count);
  return cuModuleEnumerateFunctions(functions.data(), count, module);
}

CUresult refuse_slot(TableId table, unsigned slot) noexcept {
  return guarded([&] {
    log(LogLevel::warning, "not carried: slot of a private table table={} slot={}", table_name(table), slot);
    return CUDA_ERROR_NOT_SUPPORTED;
  });
}

// The runtime asks for tables that no driver need have, and goes on without: no line in the log for each program.
void refuse_table(TableId, const CUuuid&) noexcept {}

}  // namespace vgpu::shim::driver
