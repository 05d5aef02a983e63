#include "softgpu/guard.hpp"
#include "softgpu/stream_calls.hpp"

/// The calls on streams by their exported names: for the legacy default stream, and with the suffix _ptsz for the
/// per-thread one, where a null stream means the calling thread's own.
using namespace vgpu::softgpu;

#undef cuStreamQuery
#undef cuStreamSynchronize
#undef cuStreamWaitEvent
#undef cuLaunchHostFunc
#undef cuStreamAddCallback
#undef cuStreamGetPriority
#undef cuStreamGetFlags
#undef cuStreamGetId
#undef cuStreamGetDevice
#undef cuStreamGetCtx

VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamQuery(CUstream stream) { return stream_query(stream); }
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamQuery_ptsz(CUstream stream) { return stream_query(per_thread(stream)); }
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamSynchronize(CUstream stream) { return stream_synchronize(stream); }
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamSynchronize_ptsz(CUstream stream) {
  return stream_synchronize(per_thread(stream));
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamWaitEvent(CUstream stream, CUevent event, unsigned int flags) {
  return stream_wait_event(stream, event, flags);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamWaitEvent_ptsz(CUstream stream, CUevent event, unsigned int flags) {
  return stream_wait_event(per_thread(stream), event, flags);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuLaunchHostFunc(CUstream stream, CUhostFn function, void* data) {
  return launch_host_function(stream, function, data);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuLaunchHostFunc_ptsz(CUstream stream, CUhostFn function, void* data) {
  return launch_host_function(per_thread(stream), function, data);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamAddCallback(CUstream stream, CUstreamCallback callback, void* data,
                                                      unsigned int flags) {
  return stream_add_callback(stream, callback, data, flags);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamAddCallback_ptsz(CUstream stream, CUstreamCallback callback, void* data,
                                                           unsigned int flags) {
  return stream_add_callback(per_thread(stream), callback, data, flags);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamGetPriority(CUstream stream, int* priority) {
  return stream_get_priority(stream, priority);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamGetPriority_ptsz(CUstream stream, int* priority) {
  return stream_get_priority(per_thread(stream), priority);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamGetFlags(CUstream stream, unsigned int* flags) {
  return stream_get_flags(stream, flags);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamGetFlags_ptsz(CUstream stream, unsigned int* flags) {
  return stream_get_flags(per_thread(stream), flags);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamGetId(CUstream stream, unsigned long long* id) {
  return stream_get_id(stream, id);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamGetId_ptsz(CUstream stream, unsigned long long* id) {
  return stream_get_id(per_thread(stream), id);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamGetDevice(CUstream stream, CUdevice* device) {
  return stream_get_device(stream, device);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamGetDevice_ptsz(CUstream stream, CUdevice* device) {
  return stream_get_device(per_thread(stream), device);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamGetCtx(CUstream stream, CUcontext* context) {
  return stream_get_context(stream, context);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuStreamGetCtx_ptsz(CUstream stream, CUcontext* context) {
  return stream_get_context(per_thread(stream), context);
}
