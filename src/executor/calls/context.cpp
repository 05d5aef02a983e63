#include "executor/dispatch.hpp"
#include "executor/enum_range.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

/// Flags that make the driver write files, or open pipes, where the executor is.
constexpr u32 kWritesFiles = CU_CTX_COREDUMP_ENABLE | CU_CTX_USER_COREDUMP_ENABLE;

/// The objects of a primary context die with its last reference. Another handle to it must not find them.
void look_whether_emptied(Invocation& in, CUdevice device) {
  unsigned flags = 0;
  int active = 0;
  if (in.cuda.cuDevicePrimaryCtxGetState(device, &flags, &active) == CUDA_SUCCESS && active == 0)
    in.session.contexts.primary_emptied(device);
}

}  // namespace

VGPU_HANDLER(cuDevicePrimaryCtxRetain) {
  CUdevice device = 0;
  if (!in.session.device(request.device, device)) return CUDA_ERROR_INVALID_DEVICE;
  if (!in.session.contexts.accepts(request.context)) return CUDA_ERROR_INVALID_HANDLE;
  if ((request.flags & kWritesFiles) != 0) return CUDA_ERROR_NOT_SUPPORTED;
  unsigned flags = 0;
  int active = 0;
  const CUresult known = in.cuda.cuDevicePrimaryCtxGetState(device, &flags, &active);
  if (known != CUDA_SUCCESS || flags != request.flags) {
    const CUresult set = in.cuda.cuDevicePrimaryCtxSetFlags_v2(device, request.flags);
    if (set != CUDA_SUCCESS) return set;
  }
  CUcontext context = nullptr;
  const CUresult result = in.cuda.cuDevicePrimaryCtxRetain(&context, device);
  if (result != CUDA_SUCCESS) return result;
  if (!in.session.contexts.put_primary(request.context, context, device)) {
    in.cuda.cuDevicePrimaryCtxRelease_v2(device);
    return CUDA_ERROR_INVALID_HANDLE;
  }
  if (in.current.set(request.context.index()) == CUDA_SUCCESS) in.session.register_staging(request.context.index());
  return CUDA_SUCCESS;
}

VGPU_HANDLER(cuDevicePrimaryCtxRelease) {
  CUdevice device = 0;
  if (!in.session.device(request.device, device)) return CUDA_ERROR_INVALID_DEVICE;
  const CUresult result = in.cuda.cuDevicePrimaryCtxRelease_v2(device);
  in.current.forget();
  look_whether_emptied(in, device);
  in.session.kernel_text.look();
  return result;
}

VGPU_HANDLER(cuDevicePrimaryCtxReset) {
  CUdevice device = 0;
  if (!in.session.device(request.device, device)) return CUDA_ERROR_INVALID_DEVICE;
  const CUresult result = in.cuda.cuDevicePrimaryCtxReset_v2(device);
  in.current.forget();
  in.session.contexts.primary_emptied(device);
  in.session.kernel_text.look();
  return result;
}

VGPU_HANDLER(cuCtxCreate) {
  CUdevice device = 0;
  if (!in.session.device(request.device, device)) return CUDA_ERROR_INVALID_DEVICE;
  if (!in.session.contexts.vacant(request.context)) return CUDA_ERROR_INVALID_HANDLE;
  if ((request.flags & kWritesFiles) != 0) return CUDA_ERROR_NOT_SUPPORTED;
  CUcontext context = nullptr;
  const CUresult result = in.cuda.cuCtxCreate_v2(&context, request.flags, device);
  if (result != CUDA_SUCCESS) return result;
  // The driver made it current here.
  in.current.forget();
  if (!in.session.contexts.put(request.context, context)) {
    in.cuda.cuCtxDestroy_v2(context);
    return CUDA_ERROR_INVALID_HANDLE;
  }
  in.session.register_staging(request.context.index());
  return CUDA_SUCCESS;
}

VGPU_HANDLER(cuCtxDestroy) {
  const CUcontext context = in.session.contexts.take(request.context);
  if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
  const CUresult result = in.cuda.cuCtxDestroy_v2(context);
  in.current.forget();
  in.session.kernel_text.look();
  return result;
}

VGPU_HANDLER(cuCtxSynchronize) {
  const CUresult result = in.session.synchronize();
  in.session.kernel_text.look();
  return result;
}

VGPU_HANDLER(cuCtxGetLimit) {
  CUlimit limit{};
  if (!to_enum<CU_LIMIT_MAX>(request.limit, limit)) return CUDA_ERROR_INVALID_VALUE;
  std::size_t value = 0;
  const CUresult result = in.cuda.cuCtxGetLimit(&value, limit);
  reply.value = value;
  return result;
}

VGPU_HANDLER(cuCtxSetLimit) {
  CUlimit limit{};
  if (!to_enum<CU_LIMIT_MAX>(request.limit, limit)) return CUDA_ERROR_INVALID_VALUE;
  return in.cuda.cuCtxSetLimit(limit, request.value);
}

VGPU_HANDLER(cuCtxSetCacheConfig) {
  CUfunc_cache config{};
  if (!to_enum<CU_FUNC_CACHE_PREFER_EQUAL>(request.config, config)) return CUDA_ERROR_INVALID_VALUE;
  return in.cuda.cuCtxSetCacheConfig(config);
}

VGPU_HANDLER(cuCtxResetPersistingL2Cache) { return in.cuda.cuCtxResetPersistingL2Cache(); }

namespace {

/// Calls f with the driver's context and event.
template <typename Request, typename F>
CUresult with_event_of_context(Invocation& in, const Request& request, F&& f) {
  const CUcontext context = request.context.well_formed() ? in.session.contexts.find(request.context.index()) : nullptr;
  if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
  const auto event = in.session.handles.find<CUevent>(request.event);
  return event != nullptr ? f(context, event) : CUDA_ERROR_INVALID_HANDLE;
}

}  // namespace

VGPU_HANDLER(cuCtxRecordEvent) { return with_event_of_context(in, request, in.cuda.cuCtxRecordEvent); }
VGPU_HANDLER(cuCtxWaitEvent) { return with_event_of_context(in, request, in.cuda.cuCtxWaitEvent); }

}  // namespace vgpu::executor
