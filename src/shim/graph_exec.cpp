// Executable graphs: minted here; a launch is one record without an answer.
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include "shim/graph_list.hpp"
#include "shim/stream.hpp"

using namespace vgpu::shim;

namespace {

struct Failure {
  CUgraphInstantiateResult result = CUDA_GRAPH_INSTANTIATE_ERROR;
  CUgraphNode node = nullptr;
};

CUresult instantiate(CUgraphExec* out, CUgraph graph, u64 flags, StreamHandle upload, Failure& failure) {
  if (!out) return CUDA_ERROR_INVALID_VALUE;
  State& s = state();
  const auto minted = s.graph_execs.mint();
  if (!minted.object) return CUDA_ERROR_OUT_OF_MEMORY;
  minted.object->flags = flags;
  call::cuGraphInstantiateWithParams::Reply reply{};
  CUresult result = ask<call::cuGraphInstantiateWithParams>(
      graph_context(), {minted.handle, graph_handle(graph), flags, upload}, &reply);
  if (result == CUDA_SUCCESS) {
    result = static_cast<CUresult>(reply.error);
    failure = {static_cast<CUgraphInstantiateResult>(reply.result), as_node(reply.error_node)};
  }
  if (result != CUDA_SUCCESS) {
    s.graph_execs.release(minted.handle.value);
    return result;
  }
  *out = reinterpret_cast<CUgraphExec>(minted.handle.value);
  return CUDA_SUCCESS;
}

/// The forms up to CUDA 11: they name the node, and describe an error in a text.
CUresult instantiate_with_log(CUgraphExec* exec, CUgraph graph, CUgraphNode* error_node, char* text, size_t bytes) {
  return guarded([&] {
    Failure failure;
    const CUresult result = instantiate(exec, graph, 0, {0}, failure);
    if (error_node) *error_node = failure.node;
    if (text && bytes != 0) *text = '\0';
    return result;
  });
}

/// Runs f(handle) for a live executable graph.
template <typename F>
CUresult with_exec(CUgraphExec exec, F&& f) noexcept {
  return guarded([&]() -> CUresult {
    const GraphExecHandle handle{reinterpret_cast<u64>(exec)};
    return state().graph_execs.find(handle.value) ? f(handle) : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult update(CUgraphExec exec, CUgraph graph, CUgraphExecUpdateResultInfo& info) {
  info = {CU_GRAPH_EXEC_UPDATE_ERROR, nullptr, nullptr};
  return with_exec(exec, [&](GraphExecHandle handle) -> CUresult {
    call::cuGraphExecUpdate::Reply reply{};
    const CUresult result = ask<call::cuGraphExecUpdate>(graph_context(), {handle, graph_handle(graph)}, &reply);
    if (result != CUDA_SUCCESS) return result;
    info = {static_cast<CUgraphExecUpdateResult>(reply.result), as_node(reply.error_node),
            as_node(reply.error_from_node)};
    return static_cast<CUresult>(reply.error);
  });
}

}  // namespace

extern "C" {

CUresult CUDAAPI cuGraphInstantiate(CUgraphExec* exec, CUgraph graph, CUgraphNode* error_node, char* text,
                                    size_t bytes) {
  return instantiate_with_log(exec, graph, error_node, text, bytes);
}
CUresult CUDAAPI cuGraphInstantiate_v2(CUgraphExec* exec, CUgraph graph, CUgraphNode* error_node, char* text,
                                       size_t bytes) {
  return instantiate_with_log(exec, graph, error_node, text, bytes);
}

CUresult CUDAAPI cuGraphInstantiateWithFlags(CUgraphExec* exec, CUgraph graph, unsigned long long flags) {
  return guarded([&]() -> CUresult {
    // Only the form with parameters has a stream to upload into.
    if (flags & CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD) return CUDA_ERROR_INVALID_VALUE;
    Failure failure;
    return instantiate(exec, graph, flags, {0}, failure);
  });
}

CUresult CUDAAPI cuGraphInstantiateWithParams(CUgraphExec* exec, CUgraph graph,
                                              CUDA_GRAPH_INSTANTIATE_PARAMS* parameters) {
  return guarded([&]() -> CUresult {
    if (!parameters) return CUDA_ERROR_INVALID_VALUE;
    StreamHandle stream{0};
    CUresult result = CUDA_SUCCESS;
    if (parameters->flags & CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD) {
      const Context* context = current_context(result);
      if (context) result = resolve_stream(*context, parameters->hUploadStream, stream);
    }
    Failure failure;
    if (result == CUDA_SUCCESS) result = instantiate(exec, graph, parameters->flags, stream, failure);
    parameters->result_out = failure.result;
    parameters->hErrNode_out = failure.node;
    return result;
  });
}

CUresult CUDAAPI cuGraphLaunch(CUgraphExec exec, CUstream stream) {
  return with_stream(stream, [&](Context& context, StreamHandle resolved) -> CUresult {
    const GraphExecHandle handle{reinterpret_cast<u64>(exec)};
    if (!state().graph_execs.find(handle.value)) return CUDA_ERROR_INVALID_VALUE;
    return post<call::cuGraphLaunch>(context.index(), {handle, resolved});
  });
}

CUresult CUDAAPI cuGraphUpload(CUgraphExec exec, CUstream stream) {
  return with_stream(stream, [&](Context& context, StreamHandle resolved) -> CUresult {
    const GraphExecHandle handle{reinterpret_cast<u64>(exec)};
    if (!state().graph_execs.find(handle.value)) return CUDA_ERROR_INVALID_VALUE;
    return post<call::cuGraphUpload>(context.index(), {handle, resolved});
  });
}

CUresult CUDAAPI cuGraphExecUpdate(CUgraphExec exec, CUgraph graph, CUgraphNode* error_node,
                                   CUgraphExecUpdateResult* update_result) {
  CUgraphExecUpdateResultInfo info;
  const CUresult result = update(exec, graph, info);
  if (error_node) *error_node = info.errorNode;
  if (update_result) *update_result = info.result;
  return result;
}
CUresult CUDAAPI cuGraphExecUpdate_v2(CUgraphExec exec, CUgraph graph, CUgraphExecUpdateResultInfo* info) {
  if (!info) return guarded([] { return CUDA_ERROR_INVALID_VALUE; });
  return update(exec, graph, *info);
}

CUresult CUDAAPI cuGraphExecGetFlags(CUgraphExec exec, cuuint64_t* flags) {
  return with_exec(exec, [&](GraphExecHandle handle) -> CUresult {
    if (!flags) return CUDA_ERROR_INVALID_VALUE;
    // The stream to upload into was the instantiation's business only.
    *flags = state().graph_execs.find(handle.value)->flags & ~u64{CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD};
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuGraphExecDestroy(CUgraphExec exec) {
  return with_exec(exec, [&](GraphExecHandle handle) -> CUresult {
    const CUresult result = post<call::cuGraphExecDestroy>(graph_context(), {handle});
    state().graph_execs.release(handle.value);
    return result;
  });
}

}  // extern "C"
