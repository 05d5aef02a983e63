#include "executor/dispatch.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

/// A user object of the guest: its destructor runs there.
struct GuestObject {
  Session& session;
  UserObjectHandle handle;
  u64 id;
};

void CUDA_CB destroy_object(void* data) {
  const std::unique_ptr<GuestObject> object(static_cast<GuestObject*>(data));
  object->session.user_references.forget(object->handle);
  object->session.handles.take<CUuserObject>(object->handle);
  object->session.host_functions.ends(object->id);
}

}  // namespace

VGPU_HANDLER(cuUserObjectCreate) {
  if (!in.session.handles.vacant(request.object)) return CUDA_ERROR_INVALID_HANDLE;
  auto made = std::make_unique<GuestObject>(GuestObject{in.session, request.object, request.id});
  if (!in.session.host_functions.admit()) return CUDA_ERROR_OUT_OF_MEMORY;
  CUuserObject object = nullptr;
  const CUresult result = in.cuda.cuUserObjectCreate(&object, made.get(), &destroy_object, request.references,
                                                     CU_USER_OBJECT_NO_DESTRUCTOR_SYNC);
  if (result != CUDA_SUCCESS) {
    in.session.host_functions.withdraw();
    return result;
  }
  static_cast<void>(made.release());
  in.session.handles.put(request.object, object);
  in.session.user_references.add(request.object, request.references);
  return CUDA_SUCCESS;
}

VGPU_HANDLER(cuUserObjectRetain) {
  UserReferences& own = in.session.user_references;
  const auto object = in.session.handles.find<CUuserObject>(request.object);
  if (object == nullptr || !own.has(request.object, 1)) return CUDA_ERROR_INVALID_VALUE;
  const CUresult result = in.cuda.cuUserObjectRetain(object, request.references);
  if (result == CUDA_SUCCESS) own.add(request.object, request.references);
  return result;
}

VGPU_HANDLER(cuUserObjectRelease) {
  UserReferences& own = in.session.user_references;
  const auto object = in.session.handles.find<CUuserObject>(request.object);
  if (object == nullptr || !own.has(request.object, request.references)) return CUDA_ERROR_INVALID_VALUE;
  own.remove(request.object, request.references);
  const CUresult result = in.cuda.cuUserObjectRelease(object, request.references);
  if (result != CUDA_SUCCESS) own.add(request.object, request.references);
  return result;
}

VGPU_HANDLER(cuGraphRetainUserObject) {
  const auto graph = in.session.handles.find<CUgraph>(request.graph);
  const auto object = in.session.handles.find<CUuserObject>(request.object);
  UserReferences& own = in.session.user_references;
  const u32 moved = (request.flags & CU_GRAPH_USER_OBJECT_MOVE) != 0 ? request.references : 0;
  if (graph == nullptr || object == nullptr || !own.has(request.object, moved)) return CUDA_ERROR_INVALID_VALUE;
  own.remove(request.object, moved);
  const CUresult result = in.cuda.cuGraphRetainUserObject(graph, object, request.references, request.flags);
  if (result != CUDA_SUCCESS) own.add(request.object, moved);
  return result;
}

VGPU_HANDLER(cuGraphReleaseUserObject) {
  const auto graph = in.session.handles.find<CUgraph>(request.graph);
  const auto object = in.session.handles.find<CUuserObject>(request.object);
  if (graph == nullptr || object == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return in.cuda.cuGraphReleaseUserObject(graph, object, request.references);
}

}  // namespace vgpu::executor
