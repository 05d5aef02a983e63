// User objects: the host counts their references, this process destroys them.
#include <limits>

#include "shim/graph_list.hpp"
#include "shim/host_function.hpp"

using namespace vgpu::shim;
using vgpu::protocol::UserObjectHandle;

namespace {

template <typename F>
CUresult with_object(CUuserObject object, unsigned count, F&& f) noexcept {
  return guarded([&]() -> CUresult {
    const UserObjectHandle handle{reinterpret_cast<u64>(object)};
    if (!state().user_objects.find(handle.value) || count == 0 || count > std::numeric_limits<int>::max())
      return CUDA_ERROR_INVALID_VALUE;
    return f(handle);
  });
}

}  // namespace

CUresult cuUserObjectCreate(CUuserObject* out, void* object, CUhostFn destroy, unsigned int count, unsigned int flags) {
  return guarded([&]() -> CUresult {
    // CUDA requires the flag: no handle's synchronization covers the destructor.
    if (!out || !destroy || count == 0 || count > std::numeric_limits<int>::max() ||
        flags != CU_USER_OBJECT_NO_DESTRUCTOR_SYNC)
      return CUDA_ERROR_INVALID_VALUE;
    const auto minted = state().user_objects.mint();
    if (!minted.object) return CUDA_ERROR_OUT_OF_MEMORY;
    HostFunction entry;
    entry.ended = [handle = minted.handle.value, object, destroy] {
      state().user_objects.release(handle);
      destroy(object);
    };
    u64 id = 0;
    CUresult result = remember_host_function(std::move(entry), id);
    if (result == CUDA_SUCCESS) {
      result = ask<call::cuUserObjectCreate>(graph_context(), {minted.handle, id, count, 0});
      if (result != CUDA_SUCCESS) forget_host_function(id);
    }
    if (result != CUDA_SUCCESS)
      state().user_objects.release(minted.handle.value);
    else
      *out = reinterpret_cast<CUuserObject>(minted.handle.value);
    return result;
  });
}

CUresult cuUserObjectRetain(CUuserObject object, unsigned int count) {
  return with_object(object, count, [&](UserObjectHandle handle) {
    return ask<call::cuUserObjectRetain>(graph_context(), {handle, count, 0});
  });
}

CUresult cuUserObjectRelease(CUuserObject object, unsigned int count) {
  return with_object(object, count, [&](UserObjectHandle handle) {
    return ask<call::cuUserObjectRelease>(graph_context(), {handle, count, 0});
  });
}

CUresult cuGraphRetainUserObject(CUgraph graph, CUuserObject object, unsigned int count, unsigned int flags) {
  return with_object(object, count, [&](UserObjectHandle handle) {
    return ask<call::cuGraphRetainUserObject>(graph_context(), {graph_handle(graph), handle, count, flags});
  });
}

CUresult cuGraphReleaseUserObject(CUgraph graph, CUuserObject object, unsigned int count) {
  return with_object(object, count, [&](UserObjectHandle handle) {
    return ask<call::cuGraphReleaseUserObject>(graph_context(), {graph_handle(graph), handle, count, 0});
  });
}
