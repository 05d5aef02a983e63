#include "softgpu/user_object.hpp"

#include <limits>
#include <thread>

#include "softgpu/graph.hpp"
#include "softgpu/guard.hpp"

using namespace vgpu::softgpu;

namespace vgpu::softgpu {

void UserObject::release(unsigned count) {
  count_ -= count < count_ ? count : count_;
  if (count_ != 0 || destroy_ == nullptr) return;
  driver().user_objects.remove(handle);
  std::thread([destroy = std::exchange(destroy_, nullptr), object = object_] {
    in_host_function() = true;
    destroy(object);
  }).detach();
}

}  // namespace vgpu::softgpu

namespace {

constexpr unsigned kMostReferences = std::numeric_limits<int>::max();

bool good(unsigned count) noexcept { return count != 0 && count <= kMostReferences; }

template <class Then>
CUresult with_object(CUuserObject handle, unsigned count, Then&& then) {
  return with_healthy_driver([&](Driver& self) {
    const std::lock_guard lock(graphs_mutex());
    const auto object = self.user_objects.find(handle);
    if (object == nullptr || !good(count)) return CUDA_ERROR_INVALID_VALUE;
    return static_cast<CUresult>(then(self, object));
  });
}

}  // namespace

CUresult CUDAAPI cuUserObjectCreate(CUuserObject* handle, void* object, CUhostFn destroy, unsigned int count,
                                    unsigned int flags) {
  return with_healthy_driver([&](Driver& self) {
    // CUDA requires the flag: no handle's synchronization covers the destructor.
    if (handle == nullptr || destroy == nullptr || !good(count) || flags != CU_USER_OBJECT_NO_DESTRUCTOR_SYNC) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto made = std::make_shared<UserObject>(object, destroy, count);
    *handle = made->handle = self.user_objects.insert(made);
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuUserObjectRetain(CUuserObject handle, unsigned int count) {
  return with_object(handle, count, [&](Driver&, const std::shared_ptr<UserObject>& object) {
    object->retain(count);
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuUserObjectRelease(CUuserObject handle, unsigned int count) {
  return with_object(handle, count, [&](Driver&, const std::shared_ptr<UserObject>& object) {
    object->release(count);
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuGraphRetainUserObject(CUgraph graph_handle, CUuserObject handle, unsigned int count,
                                         unsigned int flags) {
  return with_object(handle, count, [&](Driver& self, const std::shared_ptr<UserObject>& object) {
    const auto graph = self.graphs.find(graph_handle);
    if (graph == nullptr || (flags & ~static_cast<unsigned>(CU_GRAPH_USER_OBJECT_MOVE)) != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (flags != CU_GRAPH_USER_OBJECT_MOVE) object->retain(count);
    graph->user_objects[object] += count;
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuGraphReleaseUserObject(CUgraph graph_handle, CUuserObject handle, unsigned int count) {
  return with_object(handle, count, [&](Driver& self, const std::shared_ptr<UserObject>& object) {
    const auto graph = self.graphs.find(graph_handle);
    if (graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const auto held = graph->user_objects.find(object);
    if (held == graph->user_objects.end() || held->second < count) return CUDA_ERROR_INVALID_VALUE;
    held->second -= count;
    if (held->second == 0) graph->user_objects.erase(held);
    object->release(count);
    return CUDA_SUCCESS;
  });
}
