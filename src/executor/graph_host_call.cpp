#include "executor/graph_host_call.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

void CUDA_CB end_graph_host_call(void* data) {
  const std::unique_ptr<GraphHostCall> call(static_cast<GraphHostCall*>(data));
  call->session.host_functions.ends(call->id);
}

}  // namespace

void CUDA_CB run_graph_host_call(void* data) {
  const auto* call = static_cast<GraphHostCall*>(data);
  call->session.host_functions.run_again(call->id);
}

CUresult make_graph_host_call(Session& session, CUgraph graph, protocol::u64 id, GraphHostCall*& call) {
  auto made = std::make_unique<GraphHostCall>(GraphHostCall{session, id});
  if (!session.host_functions.admit()) return CUDA_ERROR_OUT_OF_MEMORY;
  CUuserObject object = nullptr;
  CUresult result =
      session.cuda.cuUserObjectCreate(&object, made.get(), &end_graph_host_call, 1, CU_USER_OBJECT_NO_DESTRUCTOR_SYNC);
  if (result != CUDA_SUCCESS) {
    session.host_functions.withdraw();
    return result;
  }
  call = made.release();  // the object's
  result = session.cuda.cuGraphRetainUserObject(graph, object, 1, CU_GRAPH_USER_OBJECT_MOVE);
  if (result != CUDA_SUCCESS) session.cuda.cuUserObjectRelease(object, 1);
  return result;
}

CUresult keep_graph_host_call(Session& session, protocol::u64 id, GraphHostCall*& call) {
  if (session.kept_host_calls.size() == handle_limit(Kind::graph_exec)) return CUDA_ERROR_OUT_OF_MEMORY;
  const auto made = std::make_shared<GraphHostCall>(GraphHostCall{session, id});
  session.kept_host_calls.push_back(made);
  call = made.get();
  return CUDA_SUCCESS;
}

}  // namespace vgpu::executor
