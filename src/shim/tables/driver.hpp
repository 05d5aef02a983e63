// What the private tables need of the driver calls that the shim carries. The tables know nothing else of the shim; its
// core implements these functions, the tests have stand-ins. All may be called from any thread and never throw. Outputs
// are written only on CUDA_SUCCESS.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <vector>

#include "shim/tables/tables.hpp"

namespace vgpu::shim::driver {

/// CUDA_SUCCESS once cuInit succeeded in this process; CUDA_ERROR_NOT_INITIALIZED before, and in the child of a fork();
/// the session's error when the session is lost.
CUresult ready() noexcept;

/// As cuCtxGetCurrent: the calling thread's current context; success with null when it has none.
CUresult current_context(CUcontext* context) noexcept;

/// Whether this is the handle of a context that exists, or of the primary context of some device, active or not.
bool context_exists(CUcontext context) noexcept;

/// The handle that cuDevicePrimaryCtxRetain of the device gives now or would give later. It neither retains nor
/// activates the primary context: cuDevicePrimaryCtxGetState is the same afterwards. CUDA_ERROR_INVALID_DEVICE for a
/// bad ordinal.
CUresult primary_context_handle(CUcontext* context, CUdevice device) noexcept;

/// The device that a context, not necessarily the current one, was made on. Null: the current one, and
/// CUDA_ERROR_INVALID_CONTEXT when there is none.
CUresult context_device(CUcontext context, CUdevice* device) noexcept;

/// As cuCtxGetId for a context that is not null: a number, from 1, that no other context of the process ever had.
CUresult context_id(CUcontext context, std::uint64_t* id) noexcept;

/// As cuStreamGetId within the context given, which need not be current. The stream is one that was created, or
/// CU_STREAM_LEGACY or CU_STREAM_PER_THREAD (the calling thread's), never null. No two streams of the process ever have
/// the same id. CUDA_ERROR_INVALID_HANDLE for what is no stream.
CUresult stream_id(CUcontext context, CUstream stream, std::uint64_t* id) noexcept;

/// As cuDeviceGetCount, cuDeviceGetUuid_v2 and cuDeviceGetAttribute: exactly what these tell the program.
CUresult device_count(int* count) noexcept;
CUresult device_uuid(CUdevice device, CUuuid* uuid) noexcept;
CUresult device_attribute(CUdevice device, CUdevice_attribute attribute, int* value) noexcept;

/// As cuModuleLoadFatBinary into the current context. The image is a fatbin wrapper (its first word is 0x466243B1) or a
/// fatbin container (0xBA55ED50); anything else is CUDA_ERROR_INVALID_IMAGE. It is read during the call only.
CUresult load_module(CUmodule* module, const void* image) noexcept;

/// As cuModuleUnload.
CUresult unload_module(CUmodule module) noexcept;

/// Handles of all functions of a module, in the module's order; fails as cuModuleEnumerateFunctions does.
CUresult module_functions(CUmodule module, std::vector<CUfunction>& functions);

/// A slot of a table was called that is not carried. Counts it under table_name_index(table), names table and slot (as
/// "21318c60[16]") in the log the first time, and returns CUDA_ERROR_NOT_SUPPORTED.
CUresult refuse_slot(TableId table, unsigned slot) noexcept;

/// A table was asked for that is not served. Counts it under table_name_index(table), which is TableId::kUnknown for a
/// UUID that no list here has, and names the UUID in the log the first time.
void refuse_table(TableId table, const CUuuid& uuid) noexcept;

}  // namespace vgpu::shim::driver
