// Access of one device to another's memory.
#include "shim/context.hpp"

using namespace vgpu::shim;

CUresult cuDeviceCanAccessPeer(int* can, CUdevice ordinal, CUdevice peer) {
  return with_device(ordinal, [&](Device&) {
    return with_device(peer, [&](Device&) -> CUresult {
      if (!can) return CUDA_ERROR_INVALID_VALUE;
      call::cuDeviceCanAccessPeer::Reply reply{};
      const CUresult result = ask<call::cuDeviceCanAccessPeer>(0, {ordinal, peer}, &reply);
      if (result == CUDA_SUCCESS) *can = static_cast<int>(reply.can);
      return result;
    });
  });
}

CUresult cuDeviceGetP2PAttribute(int* value, CUdevice_P2PAttribute attribute, CUdevice source, CUdevice destination) {
  return with_device(source, [&](Device&) {
    return with_device(destination, [&](Device&) -> CUresult {
      if (!value) return CUDA_ERROR_INVALID_VALUE;
      if (source == destination) return CUDA_ERROR_INVALID_DEVICE;
      call::cuDeviceGetP2PAttribute::Reply reply{};
      const CUresult result =
          ask<call::cuDeviceGetP2PAttribute>(0, {static_cast<u32>(attribute), source, destination, 0}, &reply);
      if (result == CUDA_SUCCESS) *value = reply.value;
      return result;
    });
  });
}

CUresult cuCtxEnablePeerAccess(CUcontext handle, unsigned int flags) {
  return with_context([&](Context& context) -> CUresult {
    if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
    const Context* peer = find_context(handle);
    if (!peer || peer == &context) return CUDA_ERROR_INVALID_CONTEXT;
    return ask<call::cuCtxEnablePeerAccess>(context.index(), {{peer->handle}});
  });
}

CUresult cuCtxDisablePeerAccess(CUcontext handle) {
  return with_context([&](Context& context) -> CUresult {
    const Context* peer = find_context(handle);
    if (!peer) return CUDA_ERROR_INVALID_CONTEXT;
    return ask<call::cuCtxDisablePeerAccess>(context.index(), {{peer->handle}});
  });
}
