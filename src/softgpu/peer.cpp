#include <algorithm>

#include "softgpu/guard.hpp"

/// Access of one device to another's memory. Every pair of devices has it, since all memory is this process's. What a
/// context enables holds for all contexts of its device and for all memory of the other device, but that of
/// stream-ordered pools: those are opened by cuMemPoolSetAccess.
using namespace vgpu::softgpu;

namespace vgpu::softgpu {

CUresult Context::enable_peer(const std::shared_ptr<Context>& peer) {
  const std::lock_guard lock(lists_mutex_);
  if (std::find(peers_.begin(), peers_.end(), peer) != peers_.end()) return CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED;
  peers_.push_back(peer);
  driver().memory.set_peer_access(device_, peer->device(), true);
  return CUDA_SUCCESS;
}

CUresult Context::disable_peer(const std::shared_ptr<Context>& peer) {
  const std::lock_guard lock(lists_mutex_);
  if (std::erase(peers_, peer) == 0) return CUDA_ERROR_PEER_ACCESS_NOT_ENABLED;
  driver().memory.set_peer_access(device_, peer->device(), false);
  return CUDA_SUCCESS;
}

void Context::forget_peers() {
  const auto self = shared_from_this();
  for (const auto& other : driver().contexts.all()) other->disable_peer(self);
  const std::lock_guard lock(lists_mutex_);
  for (const auto& peer : peers_) driver().memory.set_peer_access(device_, peer->device(), false);
  peers_.clear();
}

}  // namespace vgpu::softgpu

namespace {

CUresult check_pair(CUdevice device, CUdevice peer) {
  const CUresult error = check_device(device);
  return error != CUDA_SUCCESS ? error : check_device(peer);
}

CUresult find_peer(CUcontext handle, std::shared_ptr<Context>& peer) {
  peer = driver().contexts.find(handle);
  return peer == nullptr || !peer->active() ? CUDA_ERROR_INVALID_CONTEXT : CUDA_SUCCESS;
}

}  // namespace

CUresult CUDAAPI cuDeviceCanAccessPeer(int* can_access, CUdevice device, CUdevice peer) {
  return with_driver([&](Driver&) {
    if (can_access == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult error = check_pair(device, peer); error != CUDA_SUCCESS) return error;
    *can_access = device != peer ? 1 : 0;
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuDeviceGetP2PAttribute(int* value, CUdevice_P2PAttribute attribute, CUdevice source,
                                         CUdevice destination) {
  return with_driver([&](Driver&) {
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult error = check_pair(source, destination); error != CUDA_SUCCESS) return error;
    if (source == destination) return CUDA_ERROR_INVALID_DEVICE;
    switch (attribute) {
      case CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED:
      case CU_DEVICE_P2P_ATTRIBUTE_NATIVE_ATOMIC_SUPPORTED:
      case CU_DEVICE_P2P_ATTRIBUTE_CUDA_ARRAY_ACCESS_SUPPORTED:
        *value = 1;
        return CUDA_SUCCESS;
      case CU_DEVICE_P2P_ATTRIBUTE_PERFORMANCE_RANK:
      case CU_DEVICE_P2P_ATTRIBUTE_ONLY_PARTIAL_NATIVE_ATOMIC_SUPPORTED:
        *value = 0;
        return CUDA_SUCCESS;
      default:
        return CUDA_ERROR_INVALID_VALUE;
    }
  });
}

CUresult CUDAAPI cuCtxEnablePeerAccess(CUcontext handle, unsigned int flags) {
  return with_context([&](Context& context) {
    if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
    std::shared_ptr<Context> peer;
    if (const CUresult error = find_peer(handle, peer); error != CUDA_SUCCESS) return error;
    if (peer.get() == &context) return CUDA_ERROR_INVALID_CONTEXT;
    if (&peer->device() == &context.device()) return CUDA_ERROR_PEER_ACCESS_UNSUPPORTED;
    return context.enable_peer(peer);
  });
}

CUresult CUDAAPI cuCtxDisablePeerAccess(CUcontext handle) {
  return with_context([&](Context& context) {
    std::shared_ptr<Context> peer;
    if (const CUresult error = find_peer(handle, peer); error != CUDA_SUCCESS) return error;
    return context.disable_peer(peer);
  });
}
