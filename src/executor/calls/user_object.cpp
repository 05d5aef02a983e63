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
  object->session.handles.take<CUuserObject>(object->handle);
  object->session.host_functions.ends(object->id);
}

}  // namespace

VGPU_HANDLER(cuUserObjectCreate) {
  if (!in.session.handles.vacant(request.object)) return CUDA_ERROR_INVALID_HANDLE;
  auto made = std::make_unique<GuestObject>(GuestObject{in.session, request.object, request.id});
  CUuserObject object = nullptr;
  const CUresult result = in.cuda.cuUserObjectCreate(&object, made.get(), &destroy_object, request.references,
                                                     CU_USER_OBJECT_NO_DESTRUCTOR_SYNC);
  if (result != CUDA_SUCCESS) return result;
  static_cast<void>(made.release());
  in.session.handles.put(request.object, object);
  return CUDA_SUCCESS;
}

VGPU_HANDLER(cuUserObjectRetain) {
  const auto object = in.session.handles.find<CUuserObject>(request.object);
  return object != nullptr ? in.cuda.cuUserObjectRetain(object, request.references) : CUDA_ERROR_INVALID_VALUE;
}

VGPU_HANDLER(cuUserObjectRelease) {
  const auto object = in.session.handles.find<CUuserObject>(request.object);
  return object != nullptr ? in.cuda.cuUserObjectRelease(object, request.references) : CUDA_ERROR_INVALID_VALUE;
}

VGPU_HANDLER(cuGraphRetainUserObject) {
  const auto graph = in.session.handles.find<CUgraph>(request.graph);
  const auto object = in.session.handles.find<CUuserObject>(request.object);
  if (graph == nullptr || object == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return in.cuda.cuGraphRetainUserObject(graph, object, request.references, request.flags);
}

VGPU_HANDLER(cuGraphReleaseUserObject) {
  const auto graph = in.session.handles.find<CUgraph>(request.graph);
  const auto object = in.session.handles.find<CUuserObject>(request.object);
  if (graph == nullptr || object == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return in.cuda.cuGraphReleaseUserObject(graph, object, request.references);
}

}  // namespace vgpu::executor
