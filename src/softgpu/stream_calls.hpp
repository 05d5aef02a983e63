#pragma once
#include "softgpu/driver_api.hpp"

namespace vgpu::softgpu {

/// The calls on a stream, behind both of their exported forms (stream_exports.cpp).
CUresult stream_query(CUstream stream);
CUresult stream_synchronize(CUstream stream);
CUresult stream_wait_event(CUstream stream, CUevent event, unsigned flags);
CUresult launch_host_function(CUstream stream, CUhostFn function, void* data);
CUresult stream_add_callback(CUstream stream, CUstreamCallback callback, void* data, unsigned flags);
CUresult stream_get_priority(CUstream stream, int* priority);
CUresult stream_get_flags(CUstream stream, unsigned* flags);
CUresult stream_get_id(CUstream stream, unsigned long long* id);
CUresult stream_get_device(CUstream stream, CUdevice* device);
CUresult stream_get_context(CUstream stream, CUcontext* context);

}  // namespace vgpu::softgpu
